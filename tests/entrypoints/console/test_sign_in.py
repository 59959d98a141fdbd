"""Signing in to the console: with a credential of the API, for a session that ends with it."""

import re
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from datetime import timedelta
from http.cookies import Morsel
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from attrs import frozen
from yarl import URL

from notification_adapters.clock import SystemClock
from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.access.api_keys import ApiKeyDraft, ApiKeyService
from notification_core.access.authentication import StoredKeys
from notification_core.model.caller import Caller, Scope
from notification_entrypoints.api.security.authentication import FAILURES_AT_ONCE
from notification_entrypoints.bootstrap.sessions import console_sessions
from notification_entrypoints.config.parsers import Authentication
from tests.entrypoints.api_services import backstage, on_sqlite
from tests.entrypoints.console.conftest import ENVIRONMENT, Console, Shown, console_of

ADMIN = ApiKeyDraft("Anna", Scope.ADMIN, None)


@frozen
class Guarded:
    """A console that asks who looks at it."""

    console: Console
    keys: ApiKeyService

    async def key(self, scope: Scope = Scope.ADMIN, *, everywhere: bool = True) -> str:
        environments = None if everywhere else frozenset({ENVIRONMENT})
        return (await self.keys.create(ApiKeyDraft("Anna", scope, environments))).secret_text

    async def sign_in(self, credential: str, where: str = "") -> Shown:
        return await self.console.post("/sign-in", credential=credential, next=where)

    @property
    def cookies(self) -> Mapping[str, Morsel[str]]:
        return self.console.session.cookie_jar.filter_cookies(URL(self.console.url))


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with backstage(on_sqlite(tmp_path)) as stage:
        clock, application = SystemClock(), stage.application
        stored = StoredKeys(stage.storage.api_keys, clock)
        keys = ApiKeyService(
            *(stage.storage.api_keys, clock, application.ids),
            lambda: uuid4().bytes * 2,
            stored.invalidate,
        )
        scopeless = MemoryCredentials({"scopeless": Caller("somebody", None)})
        credentials = [stored, scopeless]
        changed = stage.but(
            credentials=credentials,
            api_keys=keys,
            console_sessions=console_sessions(
                application.settings, stage.storage, clock, application.ids, credentials
            ),
            settings={"api.auth": (Authentication.API_KEY, Authentication.JWT)},
        )
        async with console_of(stage, changed) as console:
            yield Guarded(console, keys)


async def audited(guarded: Guarded) -> list[tuple[str, str, str]]:
    entries = await guarded.console.stage.storage.audit.page(None, 9)
    return [(entry.action, entry.actor, entry.subject) for entry in entries]


async def test_a_visitor_is_asked_for_a_credential_and_comes_back_to_the_page(
    guarded: Guarded,
) -> None:
    wanted = f"/console/environments/{ENVIRONMENT}?a=b%26c"
    asked = await guarded.console.get(wanted)
    assert asked.url.startswith("/console/sign-in?next=")
    assert "API key or JSON Web Token" in asked.words
    assert asked.field("next") == wanted
    shown = await guarded.sign_in(await guarded.key(), asked.field("next"))
    assert (shown.status, shown.url) == (200, wanted)
    assert "Sign out" in shown.words


async def test_the_session_is_of_the_caller_and_the_credential_is_stored_nowhere(
    guarded: Guarded, tmp_path: Path
) -> None:
    key = await guarded.key(Scope.READ, everywhere=False)
    shown = await guarded.sign_in(key)
    assert shown.url == f"/console/environments/{ENVIRONMENT}"
    assert f"key:{UUID(key[4:36])}" in shown.words
    other = await guarded.console.get(f"/environments/{uuid4()}")
    assert other.status == 404
    (cookie,) = guarded.cookies.values()
    with closing(sqlite3.connect(tmp_path / "api.sqlite")) as connection:
        stored = "".join(connection.iterdump())
    assert "console_sessions" in stored
    for secret in (key, key[-43:], cookie.value, cookie.value[-43:]):
        assert secret not in stored


async def cookie_set(guarded: Guarded, credential: str, **headers: str) -> str:
    """Sign in; return the header that sets the cookie."""
    console = guarded.console
    fields = {"credential": credential, "csrf_token": console.csrf_token}
    request = console.session.post(
        f"{console.url}/console/sign-in",
        data=fields,
        headers={"Origin": console.url, **headers},
        allow_redirects=False,
    )
    async with request as response:
        assert response.status == 303
        return str(response.headers["Set-Cookie"])


async def test_the_cookie_is_for_this_server_alone_and_no_script_reads_it(
    guarded: Guarded,
) -> None:
    cookie = await cookie_set(guarded, await guarded.key())
    name, _, attributes = cookie.partition("=")
    assert name == "notification-console"
    # CONSOLE_SESSION_LIFETIME, 12h: a second may have passed.
    assert re.search("; Max-Age=(43200|43199);", attributes)
    assert {part.strip() for part in attributes.split(";")} >= {
        "HttpOnly",
        "SameSite=Lax",
        "Path=/",
    }
    assert "Domain" not in attributes
    assert "Secure" not in attributes


async def test_over_tls_the_cookie_is_for_tls_alone_and_of_this_host(guarded: Guarded) -> None:
    origin = "https://notify.example.com"
    cookie = await cookie_set(
        guarded,
        await guarded.key(),
        Host="notify.example.com",
        Origin=origin,
        **{"Sec-Fetch-Site": "same-origin"},
    )
    assert cookie.startswith("__Host-notification-console=")
    assert "; Secure; SameSite=Lax" in cookie


async def test_who_signs_out_is_signed_out_everywhere(guarded: Guarded) -> None:
    await guarded.sign_in(await guarded.key())
    (cookie,) = guarded.cookies.values()
    name, token = cookie.key, cookie.value
    assert (await guarded.console.post("/sign-out")).url == "/console/sign-in"
    assert not guarded.cookies
    stolen = await guarded.console.get("/", headers={"Cookie": f"{name}={token}"})
    assert stolen.url.startswith("/console/sign-in")


async def test_signing_in_and_out_is_audited(guarded: Guarded) -> None:
    key = await guarded.key()
    await guarded.sign_in(key)
    await guarded.console.post("/sign-out")
    (out, in_) = await audited(guarded)
    assert (in_[0], out[0]) == ("signIn", "signOut")
    assert in_[1:] == out[1:]
    assert in_[1] == f"key:{UUID(key[4:36])}"
    assert key not in str((in_, out))


async def test_a_session_ends_when_its_key_is_revoked(guarded: Guarded) -> None:
    key = await guarded.key()
    await guarded.sign_in(key)
    assert (await guarded.console.get("/")).url == "/console/"
    await guarded.keys.revoke(UUID(key[4:36]))
    assert (await guarded.console.get("/")).url.startswith("/console/sign-in")


async def test_a_session_ends_with_a_key_that_expires(guarded: Guarded) -> None:
    expires_at = SystemClock().now() + timedelta(seconds=5)
    draft = ApiKeyDraft("Soon", Scope.READ, None, expires_at)
    cookie = await cookie_set(guarded, (await guarded.keys.create(draft)).secret_text)
    assert re.search("; Max-Age=[1-5];", cookie)


@pytest.mark.parametrize("credential", ["", "nonsense", "whk_" + "0" * 32 + "_" + "A" * 43])
async def test_a_credential_that_is_not_good_is_refused_at_its_field(
    guarded: Guarded, credential: str
) -> None:
    shown = await guarded.sign_in(credential, "/console/environments/x")
    assert shown.status == 401
    assert 'aria-invalid="true"' in shown.text
    assert shown.field("next") == "/console/environments/x"
    assert shown.field("credential") == ""
    assert not guarded.cookies
    assert await audited(guarded) == []


async def test_a_new_sign_in_ends_the_earlier_session_of_the_browser(guarded: Guarded) -> None:
    await guarded.sign_in(await guarded.key())
    (first,) = guarded.cookies.values()
    await guarded.sign_in(await guarded.key())
    (second,) = guarded.cookies.values()
    assert first.value != second.value
    headers = {"Cookie": f"notification-console={first.value}"}
    async with aiohttp.ClientSession() as stranger:
        url = f"{guarded.console.url}/console/"
        async with stranger.get(url, headers=headers, allow_redirects=False) as response:
            assert response.status == 303
    assert [action for action, _, _ in await audited(guarded)] == ["signOut", "signIn", "signIn"]


async def test_sign_ins_are_counted_by_the_limit_of_requests(guarded: Guarded) -> None:
    # API_RATE_LIMIT
    stage = guarded.console.stage
    admin = MemoryCredentials({"admin": Caller("Platform", Scope.ADMIN)})
    changed = stage.but(
        credentials=[admin],
        console_sessions=console_sessions(
            stage.application.settings, stage.storage, SystemClock(), stage.application.ids, [admin]
        ),
        settings={"api.rate_limit": 2},
    )
    async with console_of(stage, changed) as console:
        shown = [await console.post("/sign-in", credential="admin") for _ in range(5)]
    limited = [each for each in shown if each.status == 429]
    assert limited
    assert limited[0].headers["Retry-After"]


async def test_somebody_who_may_do_nothing_does_not_sign_in(guarded: Guarded) -> None:
    shown = await guarded.sign_in("scopeless")
    assert shown.status == 403
    assert "no scope" in shown.words
    assert not guarded.cookies


async def test_who_guesses_is_told_to_wait_as_by_the_api(guarded: Guarded) -> None:
    statuses = [(await guarded.sign_in(f"x y {number}")).status for number in range(2)]
    while len(statuses) <= FAILURES_AT_ONCE + 5 and statuses[-1] != 429:
        statuses.append((await guarded.sign_in("nonsense!")).status)
    assert (statuses[0], statuses[-1]) == (401, 429)
    path = f"/api/environments/{ENVIRONMENT}/webhooks"
    headers = {"Authorization": "Bearer nonsense"}
    async with guarded.console.session.get(
        f"{guarded.console.url}{path}", headers=headers
    ) as response:
        assert response.status == 429
    assert (await guarded.sign_in(await guarded.key())).status == 200


@pytest.mark.parametrize(
    "where",
    [
        *("https://evil.example/", "//evil.example/", "/console//../../evil", "javascript:x"),
        *("/console\\\\evil", "/api/environments", "/console/\u2028", ""),
    ],
)
async def test_it_leads_to_no_page_of_others(guarded: Guarded, where: str) -> None:
    shown = await guarded.sign_in(await guarded.key(), where)
    assert URL(shown.url).path.startswith("/console/")


async def test_a_part_of_a_page_leads_the_whole_page_to_signing_in(guarded: Guarded) -> None:
    page = guarded.console.of_environment()
    async with guarded.console.session.get(
        f"{guarded.console.url}/console{page}", headers={"HX-Request": "true"}
    ) as response:
        assert response.status == 204
        assert response.headers["HX-Redirect"].startswith("/console/sign-in?next=")


async def test_with_authentication_disabled_there_is_nothing_to_sign_in_to(
    console: Console,
) -> None:
    assert (await console.get("/sign-in")).url == "/console/"
    page = await console.get("/")
    assert "Authentication is disabled" in page.words
    assert "Sign out" not in page.words


async def test_over_plain_http_from_elsewhere_it_says_what_to_do(guarded: Guarded) -> None:
    fields: dict[str, Any] = {
        "credential": await guarded.key(),
        "csrf_token": guarded.console.csrf_token,
    }
    shown = await guarded.console.send(
        "/sign-in", fields, Host="notify.example.com", Origin="http://notify.example.com"
    )
    assert shown.status == 400
    assert "API_TRUSTED_PROXIES" in shown.words
    assert not guarded.cookies
