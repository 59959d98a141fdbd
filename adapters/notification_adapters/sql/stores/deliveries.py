"""The delivery store on SQL."""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import Deadlines, LockedDelivery
from notification_adapters.sql.stores import health_rows, operational_event_rows, worker_rows
from notification_adapters.sql.stores.attempt_results import (
    LoggedAttempt,
    failed_attempts,
    logged_interruption,
    logged_result,
)
from notification_adapters.sql.stores.claims import Claims
from notification_adapters.sql.stores.dead_letters import DeadLetterRows
from notification_adapters.sql.stores.ingest import SqlIngest
from notification_adapters.sql.stores.ordering import lock_groups_of, release_first, release_next
from notification_adapters.sql.stores.outbox import OutboxRows
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_adapters.sql.stores.statistics_rows import StatisticsRows
from notification_adapters.sql.stores.webhook_rows import WebhookRows, increment_revision
from notification_adapters.sql.stores.webhooks import disable
from notification_core.concurrency.ids import IdGenerator
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.model.circuit_breaker import NO_BREAKER, CircuitBreaker
from notification_core.model.delivery import AttemptResult, DeliveryState, Failed, Fence
from notification_core.model.ordering import OrderingGroup
from notification_core.model.outbox_message import delivery_failed, delivery_given_up
from notification_core.model.statistics import CountsByWebhook
from notification_core.ports.deliveries import (
    AT_ONCE,
    Claim,
    Claimed,
    DeliveryStore,
    EndedDeliveries,
    IngestTransaction,
    ReapedLeases,
    ReleasedGroups,
)

_REAPED_AT_ONCE = 2000

AnyDatabase_co = TypeVar("AnyDatabase_co", bound=Database, covariant=True)


class SqlDeliveryStore(DeliveryStore, Generic[AnyDatabase_co]):
    """Keeps events and deliveries in a SQL database."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it writes beside deliveries, one by one
        self,
        database: AnyDatabase_co,
        rows: WebhookRows,
        records: RequestRecordRows,
        outbox: OutboxRows,
        ids: IdGenerator,
        statistics: StatisticsRows,
    ) -> None:
        self._database = database
        self._dialect = database.dialect
        self._rows = rows
        self._records = records
        self._ids = ids
        self._outbox = outbox
        self._dead_letters = DeadLetterRows(outbox, ids)
        self._statistics = statistics
        self._claims = Claims(database, rows)

    @asynccontextmanager
    async def ingesting(self) -> AsyncGenerator[IngestTransaction]:
        """Open a transaction: committed where the block ends, rolled back where it raises."""
        async with self._statistics.write_transaction() as (connection, writer):
            yield self._ingest(connection, writer)

    async def has_operational_events(self) -> bool:
        """Tell whether operational events wait for webhooks."""
        async with self._database.query() as connection:
            return await operational_event_rows.are_waiting(connection)

    @asynccontextmanager
    async def join(self, connection: AsyncConnection) -> AsyncGenerator[IngestTransaction]:
        """Take part in the transaction of somebody else's connection, which they end."""
        async with self._database.borrow(connection):
            yield self._ingest(connection, None)

    def _ingest(self, connection: AsyncConnection, writer: UUID | None) -> SqlIngest:
        parts = self._rows, self._records, self._dead_letters, self._statistics
        return SqlIngest(connection, self._database, *parts, writer)

    @retry_lost_transaction
    async def acquire(self, claim: Claim) -> Claimed:
        """Take eligible deliveries and begin their next attempt, as one committed batch."""
        return await self._claims.acquire(claim)

    @retry_lost_transaction
    async def enlist(self, worker: UUID) -> None:
        """Let a worker begin attempts of what it prefetches; does nothing if it may already."""
        async with self._database.write_transaction() as connection:
            await worker_rows.enlist(connection, worker)

    async def enlisted(self) -> int:
        """Return how many workers are enlisted."""
        async with self._database.query() as connection:
            return await worker_rows.count(connection)

    @retry_lost_transaction
    async def begin(self, worker: UUID, delivery_ids: Collection[UUID]) -> bool:
        """Note which of the deliveries that a worker has prefetched it may be sending."""
        async with self._database.write_transaction() as connection:
            return await worker_rows.begin(connection, worker, delivery_ids)

    @retry_lost_transaction
    async def finish(
        self,
        results: Sequence[AttemptResult],
        interruption_delay: timedelta,
        breaker: CircuitBreaker = NO_BREAKER,
    ) -> Sequence[Fence]:
        """Log attempts that ended and write what happens to their deliveries."""
        return await self._finish_in_steps(results, interruption_delay, breaker)

    async def _finish_in_steps(
        self,
        results: Sequence[AttemptResult],
        interruption_delay: timedelta,
        breaker: CircuitBreaker,
    ) -> Sequence[Fence]:
        """Do as :meth:`finish`, with a look at each row, and raise :class:`TransactionLost`."""
        async with self._statistics.write_transaction() as (connection, writer):
            groups = await lock_groups_of(connection, self._dialect, results)
            now = await self._dialect.now(connection)
            fences = [result.fence for result in results]
            held = _each_once(await self._dialect.lock_held(connection, fences))
            owned = {place: row for place, row in enumerate(held) if row}
            taken = [results[place] for place in owned]
            waits, changes = await self._judge_health(connection, taken, breaker, now)
            ends = [
                logged_result(result, row, now, interruption_delay, waits=waits_for_webhook)
                for result, row, waits_for_webhook in zip(taken, owned.values(), waits, strict=True)
            ]
            await self._write(connection, ends, now, writer)
            await release_first(connection, self._dialect, groups, now)
            if await self._disable(connection, taken, now) or changes:
                await increment_revision(connection)
        for (_, webhook_id), state in changes.items():
            breaker.on_change(webhook_id, state)
        for result, waits_for_webhook in zip(taken, waits, strict=True):
            if waits_for_webhook:
                breaker.on_wait(result.fence.delivery_id)
        return [fence for place, fence in enumerate(fences) if place not in owned]

    @retry_lost_transaction
    async def release(self, fences: Collection[Fence], after: timedelta = AT_ONCE) -> None:
        """Undo the claim of attempts that were never sent."""
        async with self._database.write_transaction() as connection:
            now = await self._dialect.now(connection)
            held = _each_once(await self._dialect.lock_held(connection, list(fences)))
            await self._dialect.release(connection, [row for row in held if row], now + after)
            released = {f.delivery_id for f, row in zip(fences, held, strict=True) if row}
            await health_rows.end_probes(connection, released)

    async def leased(self, worker: UUID) -> Sequence[Fence]:
        """Return every attempt that this worker has claimed and not ended."""
        async with self._database.query() as connection:
            return await self._dialect.leased(connection, worker)

    @retry_lost_transaction
    async def reap(self, dead: Collection[UUID], interruption_delay: timedelta) -> ReapedLeases:
        """Free the leases of dead workers and those whose time is over."""
        if self._database.has_one_writer:
            # A look through a reader first, so that a writer is not kept waiting for nothing.
            async with self._database.read_transaction() as connection:
                now = await self._dialect.now(connection)
                if not dead and not await self._dialect.lock_overdue(connection, dead, now, 1):
                    return ReapedLeases()
        async with self._statistics.write_transaction() as (connection, writer):
            now = await self._dialect.now(connection)
            overdue = await self._dialect.lock_overdue(connection, dead, now, _REAPED_AT_ONCE)
            # From here on their workers begin nothing more.
            owners = {attempt.fence.worker for attempt in overdue if attempt.prefetched}
            begun = await worker_rows.close(connection, owners)
            unsent, ended = [], []
            for attempt in overdue:
                if attempt.prefetched and attempt.fence.delivery_id not in begun:
                    unsent.append(attempt.held)
                else:
                    ended.append(logged_interruption(attempt, self._ids(), now, interruption_delay))
            await self._write(connection, ended, now, writer)
            await self._dialect.release(connection, unsent, now)
            given_back = {attempt.fence.delivery_id for attempt in overdue}
            await health_rows.end_probes(connection, given_back)
            await worker_rows.forget(connection, dead)
        return ReapedLeases(len(overdue), failed_attempts(ended))

    @retry_lost_transaction
    async def cancel_unsendable(
        self, limit: int, expired_before: datetime, held_before: datetime | None = None
    ) -> EndedDeliveries:
        """End waiting deliveries that can no longer be sent, as one batch."""
        # A look through a reader first, so that a writer is not kept waiting for nothing.
        async with self._database.read_transaction() as connection:
            now = await self._dialect.now(connection)
            deadlines = Deadlines(now, expired_before, held_before)
            blocked_webhooks = await self._dialect.blocked_webhooks(connection, deadlines)
            if not blocked_webhooks:
                return EndedDeliveries()
            probe = connection, blocked_webhooks, 1, deadlines
            if self._database.has_one_writer and not await self._dialect.lock_unsendable(*probe):
                return EndedDeliveries()
        async with self._statistics.write_transaction() as (connection, writer):
            now = await self._dialect.now(connection)
            cancelled = await self._dialect.lock_unsendable(
                connection, blocked_webhooks, limit, deadlines._replace(now=now)
            )
            await self._dialect.cancel_unsendable(connection, cancelled, now)
            failed = [delivery.failed for delivery in cancelled if delivery.failed]
            events = (delivery_given_up(delivery, now) for delivery in failed)
            await self._outbox.append(connection, events, now)
            counts = CountsByWebhook()
            for delivery in cancelled:
                counts.of(*delivery.webhook).count_end(delivery.state)
            await self._statistics.add(connection, counts, now, writer)
        return EndedDeliveries(Counter(delivery.state for delivery in cancelled), failed)

    @retry_lost_transaction
    async def release_groups(self, after: OrderingGroup, limit: int) -> ReleasedGroups:
        """Release the first ones that are held of the next ``limit`` groups behind ``after``."""
        return await release_next(self._database, after, limit)

    async def _write(
        self,
        connection: AsyncConnection,
        all_ended: Sequence[LoggedAttempt],
        now: datetime,
        writer: UUID,
    ) -> None:
        await self._dialect.update_deliveries(connection, [end.update for end in all_ended])
        await self._dialect.log_attempts(connection, [end.attempt for end in all_ended])
        events = (delivery_failed(attempt, now) for attempt in failed_attempts(all_ended))
        await self._outbox.append(connection, events, now)
        counts = CountsByWebhook()
        for attempt, update, created_at in all_ended:
            counted = counts.of(attempt.environment_id, attempt.webhook_id)
            counted.count_attempt(attempt)
            if update.state not in {None, DeliveryState.PENDING}:
                counted.count_end(update.state, now - created_at)
        await self._statistics.add(connection, counts, now, writer)

    async def _judge_health(
        self,
        connection: AsyncConnection,
        results: Sequence[AttemptResult],
        breaker: CircuitBreaker,
        now: datetime,
    ) -> tuple[Sequence[bool], health_rows.Changes]:
        """Store what results make of the health of webhooks; tell which deliveries wait."""
        if not breaker.policy.is_on or not results:
            return [False] * len(results), {}
        return await health_rows.apply_results(
            connection, results, breaker.policy, now, self._outbox
        )

    async def _disable(
        self, connection: AsyncConnection, results: Sequence[AttemptResult], now: datetime
    ) -> bool:
        disabled = False
        for result in results:
            if isinstance(result.next_step, Failed) and result.next_step.disables:
                attempt = result.attempt
                disabled |= await disable(
                    connection,
                    (attempt.environment_id, attempt.webhook_id),
                    result.next_step.disables,
                    now,
                    version=result.webhook_version,
                    outbox=self._outbox,
                )
        return disabled


def _each_once(held: Sequence[LockedDelivery | None]) -> Sequence[LockedDelivery | None]:
    """Leave out a row that was named before: whoever speaks first is heard."""
    first = {row.handle: number for number, row in reversed([*enumerate(held)]) if row}
    return [row if row and first[row.handle] == number else None for number, row in enumerate(held)]
