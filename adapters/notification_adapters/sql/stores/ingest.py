"""Storing a batch of events with all their deliveries, inside one transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import Lease
from notification_adapters.sql.stores import operational_event_rows, ordering
from notification_adapters.sql.stores.dead_letters import DeadLetterRows
from notification_adapters.sql.stores.erasure_steps import RUNNING
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_adapters.sql.stores.statistics_rows import StatisticsRows
from notification_adapters.sql.stores.webhook_rows import WebhookRows
from notification_core.model.delivery import NewDelivery
from notification_core.model.event import Arrival, Event, EventKey, EventToStore, arrivals
from notification_core.model.message import DeadLetter
from notification_core.model.request_records import RequestRecords
from notification_core.model.statistics import count_skips
from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import IngestTransaction

INGEST_ORDER = attrgetter("event.environment_id.int", "event.event_id")
"""What events are inserted in the order of: overlapping batches do not deadlock then.

The number: comparing two UUIDs costs a call each time.
"""


class SqlIngest(IngestTransaction):
    """A batch of events on its way into the database, on a connection that others commit.

    ``writer`` is the name under which it counts; None if the connection is a host's.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it writes beside events, one by one
        self,
        connection: AsyncConnection,
        database: Database,
        rows: WebhookRows,
        records: RequestRecordRows,
        letters: DeadLetterRows,
        statistics: StatisticsRows,
        writer: UUID | None,
    ) -> None:
        self._connection = connection
        self._database = database
        self._rows = rows
        self._records = records
        self._dead_letters = letters
        self._statistics = statistics
        self._writer = writer
        self._time: datetime | None = None

    async def subscriptions(self, environment_ids: Collection[UUID]) -> Sequence[Webhook]:
        """Return all webhooks of these environments in one query."""
        return await self._rows.of_environments(self._connection, environment_ids)

    async def webhooks_revision(self) -> int:
        """Return the webhooks' revision as this transaction sees it."""
        number, self._time = await self._database.dialect.revision_and_time(self._connection)
        return number

    async def erasing(self) -> Collection[UUID]:
        """Return the environments that are being erased, as this transaction sees it."""
        dialect = self._database.dialect
        return {row.environment_id for row in await dialect.read(self._connection, RUNNING)}

    async def add_events(self, events: Sequence[EventToStore]) -> Mapping[EventKey, Arrival]:
        """Store the events that are new, in the order of their keys."""
        ordered = sorted(events, key=INGEST_ORDER)
        now = await self._now()
        known_events = await self._database.dialect.add_events(self._connection, ordered, now)
        if known_events:
            await self._database.confirm_found(self._connection)
        return arrivals(events, known_events)

    async def add_deliveries(
        self, deliveries: Sequence[NewDelivery], worker: UUID | None, lease: timedelta
    ) -> None:
        """Store deliveries, in the order of their ids; those that are claimed with their lease."""
        now, dialect = await self._now(), self._database.dialect
        plain = [delivery for delivery in deliveries if delivery.ordering_key is None]
        await dialect.add_deliveries(self._connection, plain, Lease(worker, now, now + lease))
        if len(plain) < len(deliveries):
            ordered = [delivery for delivery in deliveries if delivery.ordering_key is not None]
            rows = [ordering.new_row(delivery, now) for delivery in ordered]
            await ordering.join(self._connection, dialect, rows)
        if skips := count_skips(deliveries):
            writer = self._writer or self._statistics.writers.lend_to_host(self._connection)
            await self._statistics.add(self._connection, skips, now, writer)

    async def take_operational_events(self, environment_id: UUID, limit: int) -> Sequence[Event]:
        """Take the oldest operational events that wait for webhooks."""
        return await operational_event_rows.take(self._connection, environment_id, limit)

    async def add_records(self, records: RequestRecords) -> None:
        """Write the response to the request that all this is for."""
        await self._records.write(self._connection, records)

    async def add_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Store messages that are not events, those that are new."""
        now = await self._now()
        if await self._dead_letters.add(self._connection, dead_letters, now) < len(dead_letters):
            await self._database.confirm_found(self._connection)

    async def remove_dead_letter(self, letter_id: UUID) -> None:
        """Delete a dead letter whose event this stores."""
        await self._dead_letters.remove(self._connection, letter_id)

    async def _now(self) -> datetime:
        """Return one time for all that the transaction stores."""
        if self._time is None:
            self._time = await self._database.dialect.now(self._connection)
        return self._time
