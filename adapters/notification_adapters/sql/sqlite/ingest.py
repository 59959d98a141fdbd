"""Storing events with their deliveries on SQLite, and reading the webhooks that get them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import (
    WEBHOOK_COLUMNS,
    Dialect,
    Lease,
    RawRow,
)
from notification_adapters.sql.instants import to_microseconds
from notification_adapters.sql.sqlite.driver import as_json, fetch, run_many
from notification_adapters.sql.sqlite.rows import (
    ADD_DELIVERY,
    ADD_TRACED_EVENT,
    delivery_rows,
    traced_event_row,
)
from notification_core.model.delivery import NewDelivery
from notification_core.model.event import EventKey, EventToStore, KnownEvent

_COLUMNS = ", ".join(f"w.{name}" for name in WEBHOOK_COLUMNS)
# Whether the circuit breaker is open comes behind the columns.
_COLUMNS += """, EXISTS (
  SELECT 1 FROM webhook_health AS h
  WHERE h.webhook_id = w.webhook_id AND h.environment_id = w.environment_id
    AND h.paused_at IS NOT NULL
)"""
_WEBHOOKS_OF = f"""
SELECT {_COLUMNS} FROM json_each(?) AS e CROSS JOIN webhooks AS w ON w.environment_id = e.value
WHERE w.deleted_at IS NULL ORDER BY w.created_at, w.webhook_id
"""  # noqa: S608 - the columns' names are ours
_WEBHOOKS_BY_ID = f"""
SELECT {_COLUMNS} FROM json_each(?) AS i CROSS JOIN webhooks AS w ON w.webhook_id = i.value
"""  # noqa: S608 - the same
REVISION: Final = "SELECT revision FROM webhooks_revision"
# The outer table must stay outside: the planner knows nothing of the size of a JSON text.
FIND_EVENTS: Final = """
SELECT e.environment_id, e.event_id, e.type, e.body
FROM json_each(?) AS k CROSS JOIN events AS e ON e.event_id = k.value
"""
_TRACEPARENTS = """
SELECT e.environment_id, e.event_id, e.traceparent
FROM json_each(?) AS k CROSS JOIN events AS e ON e.event_id = k.value
WHERE e.traceparent IS NOT NULL
"""


class SqliteIngestStatements(Dialect):
    """What ingest asks of SQLite."""

    async def webhooks_of(
        self, connection: AsyncConnection, environment_ids: Collection[UUID]
    ) -> Sequence[RawRow]:
        """Return the webhooks of environments, oldest first, tombstones left out."""
        return await fetch(connection, _WEBHOOKS_OF, as_json(key.hex for key in environment_ids))

    async def webhooks_by_id(
        self, connection: AsyncConnection, webhook_ids: Collection[UUID]
    ) -> Sequence[RawRow]:
        """Return webhooks of any environment, tombstones too."""
        return await fetch(connection, _WEBHOOKS_BY_ID, as_json(key.hex for key in webhook_ids))

    async def webhooks_revision(self, connection: AsyncConnection) -> int:
        """Return the webhooks' revision."""
        ((number,),) = await fetch(connection, REVISION)
        return int(number)

    async def revision_and_time(self, connection: AsyncConnection) -> tuple[int, datetime]:
        """Return the webhooks' revision and the clock's time."""
        return await self.webhooks_revision(connection), await self.now(connection)

    async def add_events(
        self, connection: AsyncConnection, events: Sequence[EventToStore], now: datetime
    ) -> Mapping[EventKey, KnownEvent]:
        """Insert the events that are new; return those that are known."""
        stored_at = to_microseconds(now)
        rows = {stored.event.key: traced_event_row(stored, stored_at) for stored in events}
        ids = as_json({stored.event.event_id for stored in events})
        known_events = known_events_of(await fetch(connection, FIND_EVENTS, ids), rows.keys())
        new = [row for key, row in rows.items() if key not in known_events]
        await run_many(connection, ADD_TRACED_EVENT, new)
        return known_events

    async def traceparents(
        self, connection: AsyncConnection, keys: Collection[EventKey]
    ) -> Mapping[EventKey, str]:
        """Return the places of events in their traces, where they have one."""
        ids = as_json({event_id for _, event_id in keys})
        found = {
            (UUID(environment), event_id): traceparent
            for environment, event_id, traceparent in await fetch(connection, _TRACEPARENTS, ids)
        }
        # The same id in another environment is another event.
        return {key: found[key] for key in keys if key in found}

    async def add_deliveries(
        self, connection: AsyncConnection, deliveries: Sequence[NewDelivery], lease: Lease
    ) -> None:
        """Insert deliveries; those that are claimed under this lease, with attempt 1."""
        claimed_at, until = to_microseconds(lease.claimed_at), to_microseconds(lease.until)
        rows = delivery_rows(deliveries, lease.worker, claimed_at, until)
        await run_many(connection, ADD_DELIVERY, rows)

    async def has_open_publish(self, connection: AsyncConnection, environment_id: UUID) -> bool:  # noqa: ARG002 - nobody else writes
        """Return False: who asks is the only one who writes."""
        return False


def known_events_of(
    rows: Sequence[RawRow], keys: Collection[EventKey]
) -> Mapping[EventKey, KnownEvent]:
    """Return the events among the rows of ``FIND_EVENTS`` that were asked for."""
    stored = {
        (UUID(environment), event_id): KnownEvent(type_, body)
        for environment, event_id, type_, body in rows
    }
    # The same id in another environment is another event.
    return {key: event for key, event in stored.items() if key in keys}
