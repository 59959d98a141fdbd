"""Counting what ends, in the transaction in which it ends."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import StatisticsRow
from notification_core.model.delivery import AttemptOutcome, DeliveryState
from notification_core.model.statistics import BucketSize, CountsByWebhook
from notification_core.model.statistics_encoding import encode


class _HostTransaction(Protocol):
    """SQLAlchemy's, of a connection that is not ours."""

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""


class StatisticsWriters:
    """The names under which this process counts: one for each transaction at the same time.

    So nobody else writes a row while a transaction does: none waits for another, whatever else it
    has locked, and none reads before it writes. A few names do: the one that was free last is lent
    next.
    """

    def __init__(self) -> None:
        self._free: list[UUID] = []
        self._lent_to_hosts: WeakKeyDictionary[_HostTransaction, UUID] = WeakKeyDictionary()

    @contextmanager
    def lend(self) -> Iterator[UUID]:
        """Lend a name until the transaction in the block has ended.

        If it fails it may still run in the server, and the name is used no more.
        """
        writer = self._next()
        yield writer
        self._free.append(writer)

    def lend_to_host(self, connection: AsyncConnection) -> UUID:
        """Lend a name until the transaction that is open on a host's connection has ended."""
        for ended in [held for held in self._lent_to_hosts if not held.is_active]:
            self._free.append(self._lent_to_hosts.pop(ended))
        sync_connection = connection.sync_connection
        transaction = None if sync_connection is None else sync_connection.get_transaction()
        if transaction is None:
            return uuid4()
        if transaction not in self._lent_to_hosts:
            self._lent_to_hosts[transaction] = self._next()
        return self._lent_to_hosts[transaction]

    def _next(self) -> UUID:
        return self._free.pop() if self._free else uuid4()


class StatisticsRows:
    """Writes what is counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.writers = StatisticsWriters()

    @asynccontextmanager
    async def write_transaction(self) -> AsyncGenerator[tuple[AsyncConnection, UUID]]:
        """Open a transaction, with the name under which it counts."""
        with self.writers.lend() as writer:
            async with self._database.write_transaction() as connection:
                yield connection, writer

    async def add(
        self, connection: AsyncConnection, counts: CountsByWebhook, now: datetime, writer: UUID
    ) -> None:
        """Write what a transaction has counted."""
        if counts:
            await self._database.dialect.add_statistics(
                connection, statistics_rows(counts, now, writer)
            )


def statistics_rows(
    counts: CountsByWebhook, at: datetime, writer: UUID, span: BucketSize = BucketSize.MINUTE
) -> list[StatisticsRow]:
    """Return what was counted at an instant as rows, sorted by their keys."""
    start, minutes = span.start_of(at), span.length // BucketSize.MINUTE.length
    return sorted(
        StatisticsRow(
            webhook_id,
            environment_id,
            start,
            writer,
            minutes,
            attempts_succeeded=counted.attempts[AttemptOutcome.SUCCEEDED],
            attempts_failed=counted.attempts[AttemptOutcome.FAILED],
            attempts_interrupted=counted.attempts[AttemptOutcome.INTERRUPTED],
            deliveries_succeeded=counted.deliveries[DeliveryState.SUCCEEDED],
            deliveries_failed=counted.deliveries[DeliveryState.FAILED],
            deliveries_skipped=counted.deliveries[DeliveryState.SKIPPED],
            deliveries_cancelled=counted.deliveries[DeliveryState.CANCELLED],
            figures=encode(counted),
        )
        for (environment_id, webhook_id), counted in counts.items()
    )
