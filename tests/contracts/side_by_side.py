"""Every storage beside every other: they are driven alike, and must say and keep the same."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar
from uuid import UUID

import sqlalchemy as sa
from attrs import evolve, frozen

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import open_postgres
from notification_adapters.sql.sqlite import open_sqlite
from notification_adapters.sql.tables import attempts, deliveries
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import ErasureNotFound
from notification_core.model.delivery import Attempt
from notification_core.model.erasure import Erasure
from notification_core.model.read_models import DeliveryView, EventSummary
from notification_core.model.replay import Replay
from notification_core.model.signing_key import SigningKey
from notification_core.model.statistics import BucketSize, Counts, Period
from notification_core.model.webhook import Webhook
from notification_core.ports.backlog import BacklogSize
from notification_core.ports.storage import Storage
from tests.contracts.harness import (
    STORED,
    Harness,
    Stored,
    memory_probe,
    sql_probe,
    standing_still,
    stored_in_memory,
    stored_in_sql,
)
from tests.support.postgres_server import CIPHER, PostgresServer

T = TypeVar("T")

_MOST = 1000

Opening = Callable[[IdGenerator], AbstractAsyncContextManager[SqlStorage]]
"""Opens a database that is there, as a process that starts would."""


Handle = tuple[UUID, UUID]
"""(environment id, delivery id)"""


class Ended(NamedTuple):
    """An attempt that has ended: whoever writes it, all call it so."""

    delivery: Handle
    number: int
    outcome: str


@frozen
class Rows:
    """The deliveries and the attempts that a storage has, of all environments."""

    deliveries: Mapping[Handle, Stored]
    log: frozenset[Ended]
    webhooks_revision: int


@frozen
class OfWebhook:
    """What a customer sees of one webhook."""

    log: frozenset[Attempt]
    deliveries: Sequence[DeliveryView]
    replays: Sequence[Replay]


@frozen
class OfEnvironment:
    """What a customer sees of an environment."""

    webhooks: Sequence[Webhook]
    keys: Sequence[SigningKey]
    events: Sequence[EventSummary]
    of_webhooks: Mapping[UUID, OfWebhook]
    erasure: Erasure | None
    statistics: Mapping[datetime, Counts]
    statistics_of: Mapping[UUID, Mapping[datetime, Counts]]


class SideBySide:
    """The storage in memory, an SQLite file and a PostgreSQL database under one clock.

    Each draws its ids from the same numbers, so that what it names itself has the same name
    everywhere.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.ids = IdGenerator(clock, _numbers(0))
        self.harnesses: list[Harness] = []
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._opened = AsyncExitStack()
        self._openings: list[tuple[Opening, IdGenerator]] = []

    def open(self, *openings: Opening) -> None:
        """Open empty storages: one in memory, and these."""
        ids = self._own_ids()
        memory = memory_storage(self.clock, ids)
        self.harnesses.append(self._harness(memory))
        self._openings = [(opening, self._own_ids()) for opening in openings]
        self._runner.run(self._open())

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter something that is to last as long as the storages."""
        return self._runner.run(self._stack.enter_async_context(context))

    def reopen(self) -> None:
        """End all that hangs on the databases, and reopen them: the memory stays."""
        self._runner.run(self._reopen())

    def close(self) -> None:
        """Close all of them."""
        try:
            self._runner.run(self._opened.aclose())
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()

    def all(self, step: Callable[[Harness], Awaitable[T]]) -> T:
        """Do the same to all; they must say the same."""

        async def run() -> list[T]:
            return [await step(harness) for harness in self.harnesses]

        expected, *others = self._runner.run(run())
        for told in others:
            assert told == expected, f"It says {told}\nand the memory {expected}"
        return expected

    def run(self, step: Awaitable[T]) -> T:
        """Run something that concerns one of them, or none."""

        async def run() -> T:
            return await step

        return self._runner.run(run())

    def _own_ids(self) -> IdGenerator:
        return IdGenerator(self.clock, _numbers(1))

    async def _open(self) -> None:
        for opening, ids in self._openings:
            self.harnesses.append(
                self._harness(await self._opened.enter_async_context(opening(ids)))
            )

    async def _reopen(self) -> None:
        await self._opened.aclose()
        del self.harnesses[1:]
        await self._open()

    def _harness(self, storage: MemoryStorage | SqlStorage) -> Harness:
        return Harness(
            storage=storage,
            rival=storage,
            clock=self.clock,
            ids=self.ids,
            probe=memory_probe(storage)
            if isinstance(storage, MemoryStorage)
            else sql_probe(storage),
            environment_id=UUID(int=8),
            other_environment_id=UUID(int=9),
            worker=UUID(int=1),
            other_worker=UUID(int=2),
        )


def _numbers(seed: int) -> Callable[[int], int]:
    """Return where ids get their bits from: the same ones in each run."""
    return Random(seed).getrandbits  # noqa: S311 - nothing here is secret


def sqlite(path: Path, clock: ManualClock) -> Opening:
    """Return how a file that was migrated is opened."""
    return partial(open_sqlite, path, CIPHER, clock)


def postgres(server: PostgresServer, database: str, clock: ManualClock) -> Opening:
    """Return how a database that was migrated is opened, by the test's clock."""
    there = server.server(database)
    return lambda ids: open_postgres(there, CIPHER, clock, ids, standing_still(clock))


async def rows_of(harness: Harness) -> Rows:
    """Return the rows that a storage has."""
    if isinstance(harness.storage, MemoryStorage):
        return _rows_of_memory(harness.storage)
    assert isinstance(harness.storage, SqlStorage)
    return await _rows_of_database(harness.storage)


async def seen_of(
    harness: Harness, environment_id: UUID, webhooks: Sequence[UUID]
) -> OfEnvironment:
    """Return all that a customer sees of an environment with these webhooks."""
    store = harness.storage
    return OfEnvironment(
        webhooks=await store.webhooks.list(environment_id),
        keys=await store.signing_keys.keys_of([environment_id]),
        events=(await store.history.events(environment_id, _MOST)).rows,
        of_webhooks={one: await _of_webhook(store, (environment_id, one)) for one in webhooks},
        erasure=await _erasure(store, environment_id),
        statistics=await _statistics(harness, environment_id, None),
        statistics_of={one: await _statistics(harness, environment_id, one) for one in webhooks},
    )


async def _statistics(
    harness: Harness, environment_id: UUID, webhook_id: UUID | None
) -> Mapping[datetime, Counts]:
    now = harness.clock.now()
    period = Period.covering(now - timedelta(days=1), now, BucketSize.MINUTE)
    counts = await harness.storage.statistics.read(environment_id, webhook_id, period)
    return dict(counts)


async def backlog_of(harness: Harness) -> BacklogSize:
    """Return what waits in a storage."""
    return await harness.storage.backlog.size()


async def _of_webhook(store: Storage, key: tuple[UUID, UUID]) -> OfWebhook:
    log = (await store.logs.page(*key, limit=_MOST)).rows
    return OfWebhook(
        # Which of several interrupted attempts is written first is nobody's promise.
        log=frozenset(evolve(one, log_id=UUID(int=0), error=None) for one in log),
        deliveries=(await store.history.of_webhook(*key, limit=_MOST)).rows,
        replays=(await store.replays.of_webhook(*key, limit=_MOST)).rows,
    )


async def _erasure(store: Storage, environment_id: UUID) -> Erasure | None:
    try:
        return await store.erasures.get(environment_id)
    except ErasureNotFound:
        return None


def _rows_of_memory(storage: MemoryStorage) -> Rows:
    state = storage.state
    return Rows(
        deliveries={
            (one.environment_id, one.delivery_id): stored_in_memory(one)
            for one in state.deliveries.values()
        },
        log=frozenset(
            Ended((one.environment_id, one.delivery_id), one.number, one.outcome.value)
            for one in state.attempts.values()
        ),
        webhooks_revision=state.webhooks_revision,
    )


async def _rows_of_database(storage: SqlStorage) -> Rows:
    made = sa.select(deliveries.c.environment_id, deliveries.c.delivery_id, *STORED)
    ended = sa.select(
        *(attempts.c[name] for name in ("environment_id", "delivery_id", "attempt", "outcome"))
    )
    async with storage.database.read_transaction() as connection:
        found = (await connection.execute(made)).all()
        log = (await connection.execute(ended)).all()
        webhooks_revision = await storage.database.dialect.webhooks_revision(connection)
    return Rows(
        deliveries={(row.environment_id, row.delivery_id): stored_in_sql(row) for row in found},
        log=frozenset(Ended((row[0], row[1]), row[2], row[3]) for row in log),
        webhooks_revision=webhooks_revision,
    )
