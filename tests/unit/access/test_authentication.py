"""Telling who calls by an API key: read seldom, and yet revoked within a second."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_core.access.api_keys import ApiKeyDraft, ApiKeyService, IssuedKey
from notification_core.access.authentication import FRESH_FOR, BootstrapKey, StoredKeys
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import (
    ApiKeyNotFound,
    CredentialRefused,
    InvalidApiKey,
    StorageUnavailable,
)
from notification_core.model.api_key import hash_api_key, written
from notification_core.model.caller import Caller, Scope
from tests.support.faulty_stores import Faults, FaultyApiKeys
from tests.support.samples import ENVIRONMENT, NOW

SECRET = b"s" * 32
MOMENT = 0.001
FRESH = FRESH_FOR.total_seconds()


@attrs.define
class World:
    """Two processes that share a store: this one issues and asks, the other one only asks."""

    clock: ManualClock
    storage: MemoryStorage
    trouble: Faults
    keys: StoredKeys
    elsewhere: StoredKeys
    issuing: ApiKeyService

    async def issue(self, **draft: Any) -> IssuedKey:
        plain = ApiKeyDraft("Platform", Scope.WRITE, frozenset({ENVIRONMENT}))
        return await self.issuing.create(attrs.evolve(plain, **draft))


@pytest.fixture
def world() -> World:
    clock, trouble = ManualClock(NOW), Faults()
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids)
    store = FaultyApiKeys(storage.api_keys, trouble)
    keys, elsewhere = StoredKeys(store, clock), StoredKeys(store, clock)
    issuing = ApiKeyService(store, clock, ids, lambda: SECRET, keys.forget)
    return World(clock, storage, trouble, keys, elsewhere, issuing)


async def test_a_key_tells_who_calls_with_which_scope_and_where(world: World) -> None:
    issued = await world.issue()
    caller = await world.keys.caller(issued.text)
    assert caller == Caller(f"key:{issued.key.key_id}", Scope.WRITE, frozenset({ENVIRONMENT}))


async def test_a_key_in_use_is_read_once_a_second(world: World) -> None:
    issued = await world.issue()
    for _ in range(10):
        await world.keys.caller(issued.text)
        await world.clock.advance(FRESH / 10 - MOMENT)
    assert world.trouble.calls["find"] == 1
    await world.clock.advance(20 * MOMENT)
    await world.keys.caller(issued.text)
    assert world.trouble.calls["find"] == 2


async def test_all_who_wait_for_a_key_wait_for_one_read(world: World) -> None:
    issued = await world.issue()
    world.trouble.gates["find"] = asyncio.Event()
    waiting = [asyncio.create_task(world.keys.caller(issued.text)) for _ in range(10)]
    await asyncio.sleep(0)
    world.trouble.gates.pop("find").set()
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert world.trouble.calls["find"] == 1


async def test_a_revocation_is_heeded_at_once_here_and_within_a_second_elsewhere(
    world: World,
) -> None:
    issued = await world.issue()
    for keys in (world.keys, world.elsewhere):
        await keys.caller(issued.text)
    await world.issuing.revoke(issued.key.key_id)
    with pytest.raises(CredentialRefused, match="revoked"):
        await world.keys.caller(issued.text)
    await world.clock.advance(FRESH)
    with pytest.raises(CredentialRefused, match="revoked"):
        await world.elsewhere.caller(issued.text)


async def test_what_is_revoked_while_it_is_read_is_believed_no_longer_than_a_second(
    world: World,
) -> None:
    issued = await world.issue()
    world.trouble.late["find"] = asyncio.Event()
    slow = asyncio.create_task(world.elsewhere.caller(issued.text))
    await asyncio.sleep(0)
    await world.issuing.revoke(issued.key.key_id)
    await world.clock.advance(FRESH)
    world.trouble.late.pop("find").set()
    await slow
    with pytest.raises(CredentialRefused, match="revoked"):
        await world.elsewhere.caller(issued.text)


async def test_a_key_expires_without_being_read_again(world: World) -> None:
    issued = await world.issue(expires_at=NOW + timedelta(milliseconds=500))
    await world.keys.caller(issued.text)
    await world.clock.advance(0.5)
    with pytest.raises(CredentialRefused, match="expired"):
        await world.keys.caller(issued.text)
    assert world.trouble.calls["find"] == 1


async def test_whoever_does_not_have_the_secret_is_not_told_that_the_key_exists(
    world: World,
) -> None:
    issued = await world.issue()
    await world.issuing.revoke(issued.key.key_id)
    guesses = (
        written(issued.key.key_id, b"\x00" * 32),
        written(UUID(int=7), SECRET),
        "whk_nonsense",
    )
    told = set()
    for guess in guesses:
        with pytest.raises(CredentialRefused) as refused:
            await world.keys.caller(guess)
        told.add(str(refused.value))
    assert len(told) == 1


async def test_strangers_do_not_push_keys_that_are_in_use_out_of_memory(world: World) -> None:
    issued = await world.issue()
    await world.keys.caller(issued.text)
    for number in range(20_000):
        with pytest.raises(CredentialRefused):
            await world.keys.caller(written(UUID(int=number), SECRET))
    world.trouble.calls.clear()
    await world.keys.caller(issued.text)
    assert world.trouble.calls["find"] == 0


async def test_an_id_that_is_not_there_is_looked_up_once_per_second(world: World) -> None:
    unknown = [written(UUID(int=number), SECRET) for number in range(2)]
    for _ in range(10):
        for key in unknown:
            with pytest.raises(CredentialRefused):
                await world.keys.caller(key)
    assert world.trouble.calls["find"] == len(unknown)
    await world.clock.advance(FRESH)
    with pytest.raises(CredentialRefused):
        await world.keys.caller(unknown[0])
    assert world.trouble.calls["find"] == len(unknown) + 1


async def test_while_storage_is_unreachable_nobody_can_tell(world: World) -> None:
    issued = await world.issue()
    await world.keys.caller(issued.text)
    await world.clock.advance(FRESH)
    world.trouble.away = True
    with pytest.raises(StorageUnavailable):
        await world.keys.caller(issued.text)


async def test_the_bootstrap_key_is_an_administrators_and_asks_nobody() -> None:
    bootstrap = BootstrapKey(hash_api_key("let me in, I run this place"))
    assert bootstrap.takes("let me in, I run this place")
    assert await bootstrap.caller("let me in, I run this place") == Caller("bootstrap", Scope.ADMIN)
    assert not bootstrap.takes("let me in, I run this plac")
    with pytest.raises(CredentialRefused):
        await bootstrap.caller("")


async def test_what_is_issued_is_kept_but_for_its_secret(world: World) -> None:
    issued = await world.issue(environments=None)
    assert await world.storage.api_keys.find(issued.key.key_id) == issued.key
    assert list(await world.issuing.page(10)) == [issued.key]
    assert issued.text not in repr(issued)
    with pytest.raises(ApiKeyNotFound):
        await world.issuing.revoke(UUID(int=1))


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
    world: World, draft: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidApiKey) as refused:
        await world.issue(**draft)
    assert [detail.field for detail in refused.value.details] == [field]
    assert list(await world.issuing.page(10)) == []
