"""The keys in use: made on first need, read once for all who wait, and never old."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from notification_core.errors import StorageUnavailable
from notification_core.model.signing_key import new_signing_key
from notification_core.signing.key_cache import FRESH_FOR
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT, NOW


async def test_an_environment_without_a_key_is_given_one_that_is_stored() -> None:
    app = MemoryApp(new_secret=lambda: b"s" * 32)
    (key,) = await app.key_cache.get(ENVIRONMENT)
    assert (key.number, key.seed) == (1, b"s" * 32)
    assert list(await app.storage.signing_keys.keys_of([ENVIRONMENT])) == [key]


async def test_keys_are_read_once_however_many_wait_for_them(app: MemoryApp) -> None:
    gate = app.faults.gates["keys_of"] = asyncio.Event()
    waiting = [asyncio.create_task(app.key_cache.get(ENVIRONMENT)) for _ in range(10)]
    await asyncio.sleep(0)
    gate.set()
    found = await asyncio.gather(*waiting)
    assert len({keys[0].key_id for keys in found}) == 1
    assert app.faults.calls == {"keys_of": 1, "add_first": 1}


async def test_a_rotated_key_is_in_use_within_a_minute(app: MemoryApp) -> None:
    (old,) = await app.key_cache.get(ENVIRONMENT)
    new = new_signing_key(ENVIRONMENT, NOW, b"n" * 32, number=2)
    await app.storage.signing_keys.rotate(new, others_expire_at=NOW + timedelta(hours=1))
    assert timedelta(seconds=60) > FRESH_FOR
    await app.clock.advance(FRESH_FOR.total_seconds())
    assert [key.key_id for key in await app.key_cache.get(ENVIRONMENT)] == [new.key_id, old.key_id]


async def test_a_pending_key_signs_once_its_time_has_come_without_being_told(
    app: MemoryApp,
) -> None:
    (old,) = await app.key_cache.get(ENVIRONMENT)
    pending = new_signing_key(ENVIRONMENT, NOW, b"n" * 32, 2, NOW + timedelta(hours=1))
    await app.storage.signing_keys.rotate(pending, others_expire_at=NOW + timedelta(hours=2))
    await app.clock.advance(3599)
    assert [key.number for key in await app.key_cache.get(ENVIRONMENT)] == [old.number]
    await app.clock.advance(1 + FRESH_FOR.total_seconds())
    assert [key.number for key in await app.key_cache.get(ENVIRONMENT)] == [2, 1]


async def test_fresh_keys_serve_while_storage_is_unavailable_and_old_ones_do_not(
    app: MemoryApp,
) -> None:
    keys = await app.key_cache.get(ENVIRONMENT)
    app.faults.unreachable = True
    await app.clock.advance(FRESH_FOR.total_seconds() - 1)
    assert await app.key_cache.get(ENVIRONMENT) == keys
    await app.clock.advance(1)
    with pytest.raises(StorageUnavailable):
        await app.key_cache.get(ENVIRONMENT)
    app.faults.unreachable = False
    assert await app.key_cache.get(ENVIRONMENT) == keys


async def test_each_environment_has_its_own_key(app: MemoryApp) -> None:
    other = UUID(int=2)
    (one,) = await app.key_cache.get(ENVIRONMENT)
    (another,) = await app.key_cache.get(other)
    assert (one.environment_id, another.environment_id) == (ENVIRONMENT, other)
