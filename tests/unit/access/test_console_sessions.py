"""Console sessions: they last no longer than the credential that they were made with."""

from datetime import timedelta
from os import urandom
from typing import Any

import pytest
from attrs import evolve

from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.access.api_keys import ApiKeyDraft
from notification_core.access.authentication import FRESH_FOR, BootstrapKey
from notification_core.access.console_sessions import ConsoleSessionService, SignedIn
from notification_core.errors import CredentialRefused, SessionEnded
from notification_core.model.api_key import hash_api_key
from notification_core.model.caller import Caller, Scope
from notification_core.ports.credentials import CredentialScheme
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT

LASTS = timedelta(hours=12)
BOOTSTRAP = "b" * 32


def sessions_of(app: MemoryApp, *schemes: CredentialScheme) -> ConsoleSessionService:
    return ConsoleSessionService(
        *(app.storage.console_sessions, app.clock, app.ids, lambda: urandom(32), LASTS),
        schemes or (app.stored_keys,),
    )


async def signed_in(app: MemoryApp, **draft: Any) -> SignedIn:
    plain = ApiKeyDraft("Anna", Scope.WRITE, frozenset({ENVIRONMENT}))
    issued = await app.api_keys.create(evolve(plain, **draft))
    return await sessions_of(app).create(await app.stored_keys.grant(issued.secret_text))


def key_of(made: SignedIn) -> Any:
    return made.session.name.removeprefix("key:")


async def test_a_session_is_of_the_caller_who_signed_in(app: MemoryApp) -> None:
    made = await signed_in(app)
    found = await sessions_of(app).find(made.token)
    assert found.caller == Caller(f"key:{key_of(made)}", Scope.WRITE, frozenset({ENVIRONMENT}))
    assert made.token not in repr((made, found))


async def test_a_session_ends_after_its_time(app: MemoryApp) -> None:
    made = await signed_in(app)
    await app.clock.advance(LASTS.total_seconds() - 0.001)
    await sessions_of(app).find(made.token)
    await app.clock.advance(0.001)
    with pytest.raises(SessionEnded):
        await sessions_of(app).find(made.token)


async def test_a_session_ends_with_the_key_when_that_expires(app: MemoryApp) -> None:
    expires_at = app.clock.now() + timedelta(minutes=1)
    made = await signed_in(app, expires_at=expires_at)
    assert made.session.expires_at == expires_at


async def test_a_session_ends_when_its_key_is_revoked_here_at_once_elsewhere_in_a_second(
    app: MemoryApp,
) -> None:
    made = await signed_in(app)
    elsewhere = sessions_of(app, app.another_process().stored_keys)
    await elsewhere.find(made.token)
    await app.api_keys.revoke((await _key(app)).key_id)
    with pytest.raises(SessionEnded):
        await sessions_of(app).find(made.token)
    await app.clock.advance(FRESH_FOR.total_seconds())
    with pytest.raises(SessionEnded):
        await elsewhere.find(made.token)


async def _key(app: MemoryApp) -> Any:
    (key,) = await app.storage.api_keys.page(9)
    return key


async def test_another_bootstrap_key_ends_the_sessions_of_the_one_before(app: MemoryApp) -> None:
    before, after = (BootstrapKey(hash_api_key(text)) for text in (BOOTSTRAP, "c" * 32))
    made = await sessions_of(app, before).create(await before.grant(BOOTSTRAP))
    assert await sessions_of(app, app.stored_keys, before).find(made.token) == made.session
    with pytest.raises(SessionEnded):
        await sessions_of(app, app.stored_keys, after).find(made.token)


async def test_a_session_of_credentials_that_are_not_accepted_any_more_ends(
    app: MemoryApp,
) -> None:
    made = await signed_in(app)
    with pytest.raises(SessionEnded):
        await sessions_of(app, BootstrapKey(b"")).find(made.token)


async def test_who_signs_out_is_signed_out(app: MemoryApp) -> None:
    made, other = await signed_in(app), await signed_in(app)
    await sessions_of(app).end(made.session)
    with pytest.raises(SessionEnded):
        await sessions_of(app).find(made.token)
    await sessions_of(app).find(other.token)


@pytest.mark.parametrize("token", ["", "x", "a" * 75])
async def test_what_is_not_a_token_is_nobody(app: MemoryApp, token: str) -> None:
    made = await signed_in(app)
    for text in (token, f"{made.token[:-4]}AAAA"):
        with pytest.raises(SessionEnded):
            await sessions_of(app).find(text)


async def test_a_caller_who_may_do_nothing_does_not_sign_in(app: MemoryApp) -> None:
    nobody = MemoryCredentials({"x": Caller("somebody", None)})
    with pytest.raises(CredentialRefused):
        await sessions_of(app, nobody).create(await nobody.grant("x"))
