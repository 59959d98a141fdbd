"""Authentication by an API key: read seldom, and yet revoked within a second."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest

from notification_core.access.api_keys import ApiKeyDraft, IssuedApiKey
from notification_core.access.authentication import FRESH_FOR, BootstrapKey, StoredKeys
from notification_core.errors import (
    ApiKeyNotFound,
    CredentialRefused,
    InvalidApiKey,
    StorageUnavailable,
)
from notification_core.model.api_key import format_api_key, hash_api_key
from notification_core.model.caller import Caller, Scope
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT, NOW

SECRET = b"s" * 32
MOMENT = 0.001
FRESH = FRESH_FOR.total_seconds()


@pytest.fixture
def elsewhere(app: MemoryApp) -> StoredKeys:
    """Return the keys as another process sees them, through the same faults."""
    return app.another_process(faults=app.faults).stored_keys


async def issue(app: MemoryApp, **draft: Any) -> IssuedApiKey:
    """Issue a key with no more than these changes to the usual one."""
    plain = ApiKeyDraft("Platform", Scope.WRITE, frozenset({ENVIRONMENT}))
    return await app.api_keys.create(attrs.evolve(plain, **draft))


async def test_a_key_identifies_the_caller_with_scope_and_environments(app: MemoryApp) -> None:
    issued = await issue(app)
    caller = await app.stored_keys.caller(issued.secret_text)
    assert caller == Caller(f"key:{issued.key.key_id}", Scope.WRITE, frozenset({ENVIRONMENT}))


async def test_a_key_in_use_is_read_once_a_second(app: MemoryApp) -> None:
    issued = await issue(app)
    for _ in range(10):
        await app.stored_keys.caller(issued.secret_text)
        await app.clock.advance(FRESH / 10 - MOMENT)
    assert app.faults.calls["find"] == 1
    await app.clock.advance(20 * MOMENT)
    await app.stored_keys.caller(issued.secret_text)
    assert app.faults.calls["find"] == 2


async def test_all_who_wait_for_a_key_wait_for_one_read(app: MemoryApp) -> None:
    issued = await issue(app)
    app.faults.gates["find"] = asyncio.Event()
    waiting = [asyncio.create_task(app.stored_keys.caller(issued.secret_text)) for _ in range(10)]
    await asyncio.sleep(0)
    app.faults.gates.pop("find").set()
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert app.faults.calls["find"] == 1


async def test_a_revocation_takes_effect_at_once_here_and_within_a_second_elsewhere(
    app: MemoryApp, elsewhere: StoredKeys
) -> None:
    issued = await issue(app)
    for keys in (app.stored_keys, elsewhere):
        await keys.caller(issued.secret_text)
    await app.api_keys.revoke(issued.key.key_id)
    with pytest.raises(CredentialRefused, match="revoked"):
        await app.stored_keys.caller(issued.secret_text)
    await app.clock.advance(FRESH)
    with pytest.raises(CredentialRefused, match="revoked"):
        await elsewhere.caller(issued.secret_text)


async def test_what_is_revoked_while_it_is_read_is_believed_no_longer_than_a_second(
    app: MemoryApp, elsewhere: StoredKeys
) -> None:
    issued = await issue(app)
    app.faults.late["find"] = asyncio.Event()
    slow = asyncio.create_task(elsewhere.caller(issued.secret_text))
    await asyncio.sleep(0)
    await app.api_keys.revoke(issued.key.key_id)
    await app.clock.advance(FRESH)
    app.faults.late.pop("find").set()
    await slow
    with pytest.raises(CredentialRefused, match="revoked"):
        await elsewhere.caller(issued.secret_text)


async def test_a_key_expires_without_being_read_again(app: MemoryApp) -> None:
    issued = await issue(app, expires_at=NOW + timedelta(milliseconds=500))
    await app.stored_keys.caller(issued.secret_text)
    await app.clock.advance(0.5)
    with pytest.raises(CredentialRefused, match="expired"):
        await app.stored_keys.caller(issued.secret_text)
    assert app.faults.calls["find"] == 1


async def test_whoever_does_not_have_the_secret_is_not_told_that_the_key_exists(
    app: MemoryApp,
) -> None:
    issued = await issue(app)
    await app.api_keys.revoke(issued.key.key_id)
    guesses = (
        format_api_key(issued.key.key_id, b"\x00" * 32),
        format_api_key(UUID(int=7), SECRET),
        "whk_nonsense",
    )
    told = set()
    for guess in guesses:
        with pytest.raises(CredentialRefused) as refused:
            await app.stored_keys.caller(guess)
        told.add(str(refused.value))
    assert len(told) == 1


async def test_strangers_do_not_push_keys_that_are_in_use_out_of_memory(app: MemoryApp) -> None:
    issued = await issue(app)
    await app.stored_keys.caller(issued.secret_text)
    for number in range(20_000):
        with pytest.raises(CredentialRefused):
            await app.stored_keys.caller(format_api_key(UUID(int=number), SECRET))
    app.faults.calls.clear()
    await app.stored_keys.caller(issued.secret_text)
    assert app.faults.calls["find"] == 0


async def test_an_id_that_is_not_there_is_looked_up_once_per_second(app: MemoryApp) -> None:
    unknown = [format_api_key(UUID(int=number), SECRET) for number in range(2)]
    for _ in range(10):
        for key in unknown:
            with pytest.raises(CredentialRefused):
                await app.stored_keys.caller(key)
    assert app.faults.calls["find"] == len(unknown)
    await app.clock.advance(FRESH)
    with pytest.raises(CredentialRefused):
        await app.stored_keys.caller(unknown[0])
    assert app.faults.calls["find"] == len(unknown) + 1


async def test_an_id_that_is_not_there_is_looked_up_once_for_all_who_wait(app: MemoryApp) -> None:
    app.faults.gates["find"] = asyncio.Event()
    unknown = format_api_key(UUID(int=7), SECRET)
    waiting = [asyncio.create_task(app.stored_keys.caller(unknown)) for _ in range(10)]
    await asyncio.sleep(0)
    app.faults.gates.pop("find").set()
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in refused} == {CredentialRefused}
    assert app.faults.calls["find"] == 1


async def test_while_storage_is_unreachable_nobody_can_tell(app: MemoryApp) -> None:
    issued = await issue(app)
    await app.stored_keys.caller(issued.secret_text)
    await app.clock.advance(FRESH)
    app.faults.unreachable = True
    with pytest.raises(StorageUnavailable):
        await app.stored_keys.caller(issued.secret_text)


async def test_the_bootstrap_key_is_an_administrators_and_needs_no_storage() -> None:
    bootstrap = BootstrapKey(hash_api_key("let me in, I run this place"))
    assert bootstrap.accepts("let me in, I run this place")
    assert await bootstrap.caller("let me in, I run this place") == Caller("bootstrap", Scope.ADMIN)
    assert not bootstrap.accepts("let me in, I run this plac")
    with pytest.raises(CredentialRefused):
        await bootstrap.caller("")


async def test_what_is_issued_is_kept_but_for_its_secret(app: MemoryApp) -> None:
    issued = await issue(app, environments=None)
    assert await app.storage.api_keys.find(issued.key.key_id) == issued.key
    assert list(await app.api_keys.page(10)) == [issued.key]
    assert issued.secret_text not in repr(issued)
    with pytest.raises(ApiKeyNotFound):
        await app.api_keys.revoke(UUID(int=1))


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 257}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"environments": frozenset()}, "environments"),
        ({"environments": frozenset(UUID(int=n) for n in range(101))}, "environments"),
        ({"expires_at": NOW}, "expires_at"),
    ],
)
async def test_a_key_that_makes_no_sense_is_not_issued(
    app: MemoryApp, draft: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidApiKey) as refused:
        await issue(app, **draft)
    assert [detail.field for detail in refused.value.details] == [field]
    assert list(await app.api_keys.page(10)) == []
