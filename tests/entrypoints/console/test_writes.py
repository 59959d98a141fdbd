"""What may change anything: a form of a page of ours, in the session that it was made in."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from notification_entrypoints.api.endpoint import MAX_BODY_BYTES
from notification_entrypoints.console.callers import csrf_token_of
from tests.entrypoints.console.conftest import Console, Shown, console_of

ELSEWHERE = "https://evil.example"


async def sign_out(console: Console, fields: Mapping[str, str], **headers: str) -> Shown:
    """Send the smallest form that there is."""
    return await console.send("/sign-out", fields, **headers)


def right(console: Console) -> dict[str, str]:
    return {"csrf_token": console.csrf_token}


async def test_a_form_of_ours_is_taken(console: Console) -> None:
    assert (await sign_out(console, right(console))).status == 200


async def test_a_form_that_hides_its_origin_is_taken_if_the_browser_says_it_is_ours(
    console: Console,
) -> None:
    hidden = {"Origin": "null"}
    taken = await sign_out(console, right(console), **hidden, Sec_Fetch_Site="same-origin")
    assert taken.status == 200
    for said in ({}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}):
        assert (await sign_out(console, right(console), **hidden, **said)).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ELSEWHERE},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://["},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
async def test_a_form_of_another_page_is_refused_even_with_the_token(
    console: Console, headers: dict[str, str]
) -> None:
    assert (await sign_out(console, right(console), **headers)).status == 403


async def test_what_says_nothing_of_where_it_comes_from_is_refused(console: Console) -> None:
    url = f"{console.url}/console/sign-out"
    async with console.session.post(url, data=right(console)) as response:
        assert response.status == 403
        assert "was not sent by a page of this console" in await response.text()


@pytest.mark.parametrize("token", [None, "", "x", "é", "A" * 43])
async def test_a_form_without_the_token_of_the_session_is_refused(
    console: Console, token: str | None
) -> None:
    shown = await sign_out(console, {} if token is None else {"csrf_token": token})
    assert shown.status == 403
    assert "reload the page" in shown.words


async def test_the_token_of_another_session_is_refused(console: Console) -> None:
    for session in ("", "another"):
        token = csrf_token_of(console.stage.application, session)
        assert (await sign_out(console, {"csrf_token": token})).status == 403


async def test_the_token_may_come_as_a_header(console: Console) -> None:
    assert (await sign_out(console, {}, X_CSRF_Token=console.csrf_token)).status == 200
    assert (await sign_out(console, {}, X_CSRF_Token="x")).status == 403


async def test_a_form_is_bounded_and_of_one_kind(console: Console) -> None:
    large = {**right(console), "x": "y" * MAX_BODY_BYTES}
    assert (await sign_out(console, large)).status == 413
    url, headers = f"{console.url}/console/sign-out", {"Origin": console.url}
    async with console.session.post(url, json=right(console), headers=headers) as response:
        assert response.status == 415


async def test_a_form_is_bounded_also_if_its_token_comes_as_a_header(console: Console) -> None:
    large = {"x": "y" * MAX_BODY_BYTES}
    assert (await sign_out(console, large, X_CSRF_Token=console.csrf_token)).status == 413
    url = f"{console.url}/console/sign-out"
    headers = {"Origin": console.url, "X-CSRF-Token": console.csrf_token}
    async with console.session.post(url, json={}, headers=headers) as response:
        assert response.status == 415


async def test_browsers_may_know_the_server_by_another_origin(console: Console) -> None:
    stage, origin = console.stage, "https://notify.example.com"
    chosen: dict[str, Any] = {"console.origin": origin, "api.cors_origins": (origin,)}
    async with console_of(stage, stage.but(settings=chosen)) as other:
        assert (await sign_out(other, right(other), Origin=origin)).status == 200
        assert (await sign_out(other, right(other))).status == 403


async def test_an_origin_that_may_call_the_api_may_not_write_here(console: Console) -> None:
    stage = console.stage
    changed = stage.but(settings={"api.cors_origins": (ELSEWHERE,)})
    async with console_of(stage, evolve(changed)) as other:
        assert (await sign_out(other, right(other), Origin=ELSEWHERE)).status == 403
