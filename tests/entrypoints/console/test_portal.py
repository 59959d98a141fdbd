"""The portal: a one-time link opens one environment for a customer, in a frame if it may."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.model.caller import Caller, Scope
from notification_entrypoints.console.cookies import PORTAL
from tests.entrypoints.api_services import Backstage, backstage, on_sqlite
from tests.entrypoints.console.conftest import ENVIRONMENT, Console, console_of

ADMIN = {"Authorization": "Bearer admin"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Backstage]:
    async with backstage(on_sqlite(tmp_path)) as stage:
        yield stage


def asking(stage: Backstage, **settings: Any) -> Any:
    """Return the application with authentication."""
    admin = MemoryCredentials({"admin": Caller("Platform", Scope.ADMIN)})
    return stage.but(credentials=[admin], settings=settings)


@pytest.fixture
async def portal(stage: Backstage) -> AsyncIterator[Console]:
    async with console_of(stage, asking(stage)) as console:
        yield console


async def link(console: Console, **draft: str) -> dict[str, Any]:
    sessions = f"{console.url}/api/environments/{ENVIRONMENT}/portal-sessions"
    body = {"scope": "read", **draft}
    async with console.session.post(sessions, json=body, headers=ADMIN) as response:
        assert response.status == 201
        made: dict[str, Any] = await response.json()
    return made


def path_in(made: dict[str, Any]) -> str:
    return "/console/portal/" + str(made["url"].rpartition("/")[2])


async def test_a_link_opens_the_environment_and_no_other_page(portal: Console) -> None:
    shown = await portal.get(path_in(await link(portal, name="Anna")))
    assert (shown.status, shown.url) == (200, f"/console/environments/{ENVIRONMENT}")
    assert "portal:Anna" in shown.words
    for operators in ("Sign out", "API reference", "All environments"):
        assert operators not in shown.words
    assert (await portal.get("/")).url == f"/console/environments/{ENVIRONMENT}"
    assert (await portal.get(f"/environments/{uuid4()}")).status == 404


async def test_the_cookie_is_what_a_frame_of_another_site_needs(portal: Console) -> None:
    url = f"{portal.url}{path_in(await link(portal, expires_in='2h'))}"
    async with portal.session.get(url, allow_redirects=False) as response:
        assert response.status == 303
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        name, _, written = response.headers["Set-Cookie"].partition("=")
    parts = {part.strip() for part in written.split(";")[1:]}
    assert name == PORTAL
    assert name.startswith("__Host-")
    assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/"} <= parts
    assert not any(part.startswith("Domain") for part in parts)
    (age,) = [int(part.partition("=")[2]) for part in parts if part.startswith("Max-Age")]
    assert 7190 < age <= 7200


async def test_a_link_opens_once_and_is_never_repeated(portal: Console) -> None:
    path = path_in(await link(portal))
    async with portal.session.head(f"{portal.url}{path}") as response:
        assert response.status == 405
    assert (await portal.get(path)).status == 200
    portal.session.cookie_jar.clear()
    again = await portal.get(path)
    assert again.status == 403
    assert "This link was used already" in again.words
    assert path.rpartition("/")[2] not in again.text


@pytest.mark.parametrize("code", ["x", "a" * 107, "%00", "0" * 64 + "-" * 43])
async def test_what_is_not_a_link_is_rejected(portal: Console, code: str) -> None:
    shown = await portal.get(f"/console/portal/{code}")
    assert shown.status == 403
    assert "This link is not valid" in shown.words
    assert "Set-Cookie" not in shown.headers


async def test_who_guesses_links_is_told_to_wait(portal: Console) -> None:
    statuses = {(await portal.get("/console/portal/x")).status for _ in range(25)}
    assert statuses == {403, 429}
    assert (await portal.get(path_in(await link(portal)))).status == 200


async def test_a_revoked_session_ends_at_the_next_page_and_says_so(portal: Console) -> None:
    made = await link(portal)
    await portal.get(path_in(made))
    sessions = f"{portal.url}/api/environments/{ENVIRONMENT}/portal-sessions"
    async with portal.session.delete(f"{sessions}/{made['session_id']}", headers=ADMIN) as response:
        assert response.status == 204
    ended = await portal.get(portal.of_environment())
    assert ended.status == 403
    assert "The session has ended" in ended.words
    assert (await portal.get(portal.of_environment())).url.startswith("/console/sign-in")


async def test_with_authentication_disabled_a_customer_is_still_only_a_customer(
    console: Console,
) -> None:
    await console.get(path_in(await link(console)))
    page = await console.get(console.of_environment())
    assert "Authentication is disabled" not in page.words
    assert (await console.get(f"/environments/{uuid4()}")).status == 404


async def test_a_page_is_framed_by_those_that_are_named_and_by_nobody_else(
    stage: Backstage,
) -> None:
    named = ("https://app.example.com", "https://*.example.org")
    chosen = {"console.frame_ancestors": named}  # CONSOLE_FRAME_ANCESTORS
    async with console_of(stage, asking(stage, **chosen)) as console:
        for path in (path_in(await link(console)), "/", "/nothing", "/console/portal/x"):
            policy = (await console.get(path)).headers["Content-Security-Policy"]
            assert policy.endswith("frame-ancestors https://app.example.com https://*.example.org")


async def test_the_link_is_at_the_origin_that_browsers_know(stage: Backstage) -> None:
    chosen = {"console.origin": "https://notify.example.com"}  # CONSOLE_ORIGIN
    async with console_of(stage, asking(stage, **chosen)) as console:
        made = await link(console)
    assert made["url"].startswith("https://notify.example.com/console/portal/")
