"""The keys in use: made on first need, read once for all who wait, and never old."""

import asyncio
from datetime import timedelta
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import StorageUnavailable
from notification_core.model.signing_key import new_signing_key
from notification_core.signing.key_cache import FRESH_FOR, SigningKeyCache
from tests.support.faulty_stores import Faults, FaultyKeys
from tests.support.samples import ENVIRONMENT, NOW

SEED = b"s" * 32


@attrs.define
class World:
    """A keyring on a key store in memory."""

    clock: ManualClock
    storage: MemoryStorage
    trouble: Faults
    keyring: SigningKeyCache


@pytest.fixture
def world() -> World:
    clock, trouble = ManualClock(), Faults()
    storage = memory_storage(clock, IdGenerator(clock))
    keyring = SigningKeyCache(FaultyKeys(storage.keys, trouble), clock, lambda: SEED)
    return World(clock, storage, trouble, keyring)


async def test_an_environment_without_a_key_is_given_one_that_is_stored(world: World) -> None:
    (key,) = await world.keyring.keys(ENVIRONMENT)
    assert (key.number, key.seed) == (1, SEED)
    assert list(await world.storage.keys.keys_of([ENVIRONMENT])) == [key]


async def test_keys_are_read_once_however_many_wait_for_them(world: World) -> None:
    gate = world.trouble.gates["keys_of"] = asyncio.Event()
    waiting = [asyncio.create_task(world.keyring.keys(ENVIRONMENT)) for _ in range(10)]
    await asyncio.sleep(0)
    gate.set()
    found = await asyncio.gather(*waiting)
    assert len({keys[0].key_id for keys in found}) == 1
    assert world.trouble.calls == {"keys_of": 1, "add_first": 1}


async def test_a_rotated_key_is_in_use_within_a_minute(world: World) -> None:
    (old,) = await world.keyring.keys(ENVIRONMENT)
    new = new_signing_key(ENVIRONMENT, NOW, b"n" * 32, number=2)
    await world.storage.keys.rotate(new, others_expire_at=NOW + timedelta(hours=1))
    assert timedelta(seconds=60) > FRESH_FOR
    await world.clock.advance(FRESH_FOR.total_seconds())
    assert [key.key_id for key in await world.keyring.keys(ENVIRONMENT)] == [new.key_id, old.key_id]


async def test_a_pending_key_signs_once_its_time_has_come_without_being_told(world: World) -> None:
    (old,) = await world.keyring.keys(ENVIRONMENT)
    pending = new_signing_key(ENVIRONMENT, NOW, b"n" * 32, 2, NOW + timedelta(hours=1))
    await world.storage.keys.rotate(pending, others_expire_at=NOW + timedelta(hours=2))
    await world.clock.advance(3599)
    assert [key.number for key in await world.keyring.keys(ENVIRONMENT)] == [old.number]
    await world.clock.advance(1 + FRESH_FOR.total_seconds())
    assert [key.number for key in await world.keyring.keys(ENVIRONMENT)] == [2, 1]


async def test_fresh_keys_serve_while_storage_is_away_and_old_ones_do_not(world: World) -> None:
    keys = await world.keyring.keys(ENVIRONMENT)
    world.trouble.away = True
    await world.clock.advance(FRESH_FOR.total_seconds() - 1)
    assert await world.keyring.keys(ENVIRONMENT) == keys
    await world.clock.advance(1)
    with pytest.raises(StorageUnavailable):
        await world.keyring.keys(ENVIRONMENT)
    world.trouble.away = False
    assert await world.keyring.keys(ENVIRONMENT) == keys


async def test_each_environment_has_its_own_key(world: World) -> None:
    other = UUID(int=2)
    (one,) = await world.keyring.keys(ENVIRONMENT)
    (another,) = await world.keyring.keys(other)
    assert (one.environment_id, another.environment_id) == (ENVIRONMENT, other)
