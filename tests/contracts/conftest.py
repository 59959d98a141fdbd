"""Every storage that the contracts hold for; one more fixture parameter is one more storage."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
from attrs import evolve

from notification_adapters.memory import ManualClock, memory_storage
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import open_postgres
from notification_adapters.sql.sqlite import open_sqlite
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from tests.contracts.harness import (
    OPERATIONAL,
    TOPICS,
    Harness,
    harness_of,
    memory_probe,
    sql_probe,
    standing_still,
)
from tests.support.postgres_server import CIPHER, PostgresServer
from tests.support.sqlite_template import make_sqlite
from tests.support.waiting import until

Kind = Callable[[AsyncExitStack], Awaitable[Harness]]
"""Opens a storage for as long as the stack lasts."""


OWN_STORAGE = os.environ.get("TEST_STORAGE")
"""``module:function`` of a :data:`Kind`: the contracts are then tested on this storage alone."""


@pytest.fixture(params=[OWN_STORAGE] if OWN_STORAGE else ["memory", "sqlite", "postgres"])
def storage_kind(request: pytest.FixtureRequest) -> Kind:
    """Every kind of storage in turn; what it needs is started before the test's loop runs."""
    if OWN_STORAGE:
        module, _, function = OWN_STORAGE.partition(":")
        own: Kind = getattr(import_module(module), function)
        return own
    if request.param == "postgres":
        return partial(_in_postgres, request.getfixturevalue("postgres"))
    folder = request.getfixturevalue("tmp_path")
    return _in_memory if request.param == "memory" else partial(_in_sqlite, folder)


@pytest.fixture
async def harness(storage_kind: Kind) -> AsyncIterator[Harness]:
    """Every storage in turn, empty, with a clock that does not move."""
    async with AsyncExitStack() as stack:
        opened = await storage_kind(stack)
        yield opened
        if isinstance(opened.storage, SqlStorage):
            database = opened.storage.database

            async def is_quiet() -> bool:
                return database.open_transactions == 0

            # A notification may still be under way, which nobody waits for.
            await until("no connection is lent any more", is_quiet, 10)


async def _in_memory(_: AsyncExitStack) -> Harness:
    clock = ManualClock()
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids, TOPICS, OPERATIONAL)
    rival = evolve(
        storage, worker_lock=storage.another_worker_lock(), notifier=storage.another_notifier()
    )
    opened = harness_of(storage, rival, clock, ids, memory_probe(storage))
    return evolve(opened, under=lambda _: nullcontext(storage))


async def _in_sqlite(folder: Path, stack: AsyncExitStack) -> Harness:
    clock = ManualClock()
    ids = IdGenerator(clock)
    path = folder / "contract.sqlite"
    await make_sqlite(path)

    def under(cipher: Cipher) -> AbstractAsyncContextManager[SqlStorage]:
        return open_sqlite(path, cipher, clock, ids, TOPICS, operational_environment=OPERATIONAL)

    storage, rival = [await stack.enter_async_context(under(CIPHER)) for _ in range(2)]
    opened = harness_of(storage, rival, clock, ids, sql_probe(storage))
    return evolve(opened, wakes=False, under=under)


async def _in_postgres(postgres: PostgresServer, stack: AsyncExitStack) -> Harness:
    clock = ManualClock()
    ids = IdGenerator(clock)
    server = postgres.server(await stack.enter_async_context(postgres.database()))

    def under(cipher: Cipher) -> AbstractAsyncContextManager[SqlStorage]:
        return open_postgres(
            *(server, cipher, clock, ids, standing_still(clock)),
            topics=TOPICS,
            operational_environment=OPERATIONAL,
        )

    storage, rival = [await stack.enter_async_context(under(CIPHER)) for _ in range(2)]
    opened = harness_of(storage, rival, clock, ids, sql_probe(storage))
    return evolve(opened, one_dispatcher=False, under=under)
