"""Every storage that the contracts hold for; one more fixture parameter is one more storage."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import evolve

from notification_adapters.memory import ManualClock, memory_storage
from notification_adapters.sql import SqlStorage, migrate_sqlite, open_sqlite
from notification_core.encryption import Cipher
from notification_core.ids import IdGenerator
from tests.contracts.world import Probe, Storage, World, memory_probe, sql_probe

CIPHER = Cipher("0123456789abcdef0123456789abcdef")


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Every storage in turn, empty, with a clock that stands still."""
    async with AsyncExitStack() as stack:
        opened = _in_memory() if request.param == "memory" else await _in_sqlite(stack, tmp_path)
        yield opened
        if isinstance(opened.storage, SqlStorage):
            left = opened.storage.database.open_transactions
            assert left == 0, "A connection leaked."


def _in_memory() -> World:
    clock = ManualClock()
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids)
    rival = evolve(storage, worker_lock=storage.another_worker_lock())
    return _world(storage, rival, clock, ids, memory_probe(storage))


async def _in_sqlite(stack: AsyncExitStack, folder: Path) -> World:
    clock = ManualClock()
    ids = IdGenerator(clock)
    path = folder / "contract.sqlite"
    await migrate_sqlite(path, CIPHER)
    storage = await stack.enter_async_context(open_sqlite(path, CIPHER, clock, ids))
    rival = await stack.enter_async_context(open_sqlite(path, CIPHER, clock, ids))
    return _world(storage, rival, clock, ids, sql_probe(storage))


def _world(
    storage: Storage, rival: Storage, clock: ManualClock, ids: IdGenerator, probe: Probe
) -> World:
    return World(
        storage=storage,
        rival=rival,
        clock=clock,
        ids=ids,
        probe=probe,
        environment_id=uuid4(),
        other_environment_id=uuid4(),
        worker=uuid4(),
        other_worker=uuid4(),
    )
