"""Trying webhooks out, on SQL."""

from datetime import timedelta

import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import DeliveryUpdate
from notification_adapters.sql.stores import health_rows
from notification_adapters.sql.stores.outbox import OutboxRows
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_adapters.sql.stores.statistics_rows import StatisticsRows
from notification_adapters.sql.stores.webhook_rows import increment_revision
from notification_adapters.sql.tables import deliveries
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.model.delivery import (
    TEST_WORKER,
    Attempt,
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryOrigin,
    DeliveryState,
    EndReason,
    Fence,
)
from notification_core.model.delivery_transitions import after_test
from notification_core.model.event import EventToStore
from notification_core.model.request_records import RequestRecords
from notification_core.model.statistics import CountsByWebhook
from notification_core.ports.webhook_tests import WebhookTestStore


class SqlWebhookTestStore(WebhookTestStore):
    """Keeps what webhooks are tried out with in a SQL database."""

    def __init__(
        self,
        database: Database,
        records: RequestRecordRows,
        outbox: OutboxRows,
        statistics: StatisticsRows,
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._statistics = statistics
        self._dialect = database.dialect
        self._records = records

    @retry_lost_transaction
    async def begin(
        self,
        event: EventToStore,
        delivery: ClaimedDelivery,
        lease: timedelta,
        records: RequestRecords = (),
    ) -> None:
        """Store an event and its one delivery, of which attempt 1 is about to be made."""
        fence = delivery.fence
        async with self._database.write_transaction() as connection:
            await self._records.write(connection, records)
            now = await self._dialect.now(connection)
            await self._dialect.add_events(connection, [event], now)
            insert = sa.insert(deliveries).values(
                delivery_id=fence.delivery_id,
                environment_id=fence.environment_id,
                webhook_id=delivery.webhook_id,
                event_id=delivery.event_id,
                state=DeliveryState.FAILED.value,
                reason=EndReason.INTERRUPTED.value,
                origin=DeliveryOrigin.TEST.value,
                due_at=now,
                attempt=fence.attempt,
                failures=0,
                interruptions=0,
                worker=fence.worker,
                leased_until=now + lease,
                started_at=now,
                created_at=now,
                event_stored_at=now,
                ended_at=now,
            )
            await connection.execute(insert)

    @retry_lost_transaction
    async def finish(self, attempt: Attempt, records: RequestRecords = ()) -> bool:
        """Log the attempt, and let its delivery end as it did; tell whether that was done."""
        fence = Fence(attempt.delivery_id, attempt.environment_id, attempt.number, TEST_WORKER)
        async with self._statistics.write_transaction() as (connection, writer):
            await self._records.write(connection, records, replaces=True)
            now = await self._dialect.now(connection)
            (held,) = await self._dialect.lock_held(connection, [fence])
            if held is None:
                return False
            await self._dialect.log_attempts(connection, [attempt])
            await self._dialect.update_deliveries(
                connection, [DeliveryUpdate(held.handle, *after_test(attempt, now))]
            )
            if attempt.outcome is AttemptOutcome.SUCCEEDED:
                key = attempt.environment_id, attempt.webhook_id
                if await health_rows.heal(connection, [key], now, self._outbox):
                    await increment_revision(connection)
            counts = CountsByWebhook()
            counts.of(attempt.environment_id, attempt.webhook_id).count_attempt(attempt)
            await self._statistics.add(connection, counts, now, writer)
        return True
