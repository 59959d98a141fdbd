"""Storing events with their deliveries on PostgreSQL, and reading the webhooks that get them."""

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
from notification_adapters.sql.postgres.driver import columns, fetch, run
from notification_adapters.sql.postgres.rows import delivery_columns, event_columns, traceparents
from notification_core.model.delivery import NewDelivery
from notification_core.model.event import EventKey, EventToStore, KnownEvent

_COLUMNS = ", ".join(WEBHOOK_COLUMNS)
# Whether the circuit breaker is open comes behind the columns.
_COLUMNS += """, EXISTS (
  SELECT 1 FROM webhook_health AS h
  WHERE h.webhook_id = w.webhook_id AND h.environment_id = w.environment_id
    AND h.paused_at IS NOT NULL
)"""
_WEBHOOKS_OF = f"""
SELECT {_COLUMNS} FROM webhooks AS w WHERE environment_id = ANY($1::uuid[]) AND deleted_at IS NULL
ORDER BY created_at, webhook_id
"""  # noqa: S608 - the columns' names are ours
_WEBHOOKS_BY_ID = f"""
SELECT {_COLUMNS} FROM webhooks AS w WHERE webhook_id = ANY($1::uuid[])
"""  # noqa: S608 - the same
REVISION: Final = "SELECT revision FROM webhooks_revision"
FIND_EVENTS: Final = """
SELECT e.environment_id, e.event_id, e.type, e.body
FROM unnest($1::text[], $2::uuid[]) AS k (event_id, environment_id)
JOIN events AS e ON e.event_id = k.event_id AND e.environment_id = k.environment_id
"""
# In the order of the arrays, so that overlapping batches wait for one another and never in a ring.
_ADD_EVENTS = """
INSERT INTO events
  (event_id, environment_id, type, occurred_at, ordering_key, body, stored_at, traceparent)
SELECT event_id, environment_id, type, occurred_at, ordering_key, body, $7::timestamptz, traceparent
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::bytea[],
  $8::text[])
  AS new (event_id, environment_id, type, occurred_at, ordering_key, body, traceparent)
ON CONFLICT DO NOTHING
RETURNING environment_id, event_id
"""
_TRACEPARENTS = """
SELECT e.environment_id, e.event_id, e.traceparent
FROM unnest($1::uuid[], $2::text[]) AS k (environment_id, event_id)
JOIN events AS e ON e.event_id = k.event_id AND e.environment_id = k.environment_id
WHERE e.traceparent IS NOT NULL
"""
# What all of a batch share comes once: an array costs more than a column of COPY, and COPY a trip
# to the server more, which one event on its own would wait for.
_ADD_DELIVERIES = """
INSERT INTO deliveries (delivery_id, environment_id, webhook_id, event_id, state, reason,
  due_at, created_at, event_stored_at, failures, interruptions, attempt, worker, leased_until,
  started_at, ended_at)
SELECT delivery_id, environment_id, webhook_id, event_id, state, reason, $9, $9, $9, 0, 0,
  claimed::int, CASE WHEN claimed THEN $10::uuid END, CASE WHEN claimed THEN $11::timestamptz END,
  CASE WHEN claimed AND NOT prefetched THEN $9::timestamptz END,
  CASE WHEN state <> 'pending' THEN $9::timestamptz END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::boolean[],
  $8::boolean[])
  AS new (delivery_id, environment_id, webhook_id, event_id, state, reason, claimed, prefetched)
"""
# Everybody may read pg_locks: a transaction that has written has a lock on its own number, and one
# that has stored events has one on their table.
_PUBLISHING = """
SELECT EXISTS (
  SELECT FROM pg_locks AS stored
  JOIN pg_database AS d ON d.oid = stored.database AND d.datname = current_database()
  JOIN pg_locks AS own ON own.virtualtransaction = stored.virtualtransaction
    AND own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock' AND own.granted
  JOIN erasures AS e ON e.environment_id = $1 AND age(own.transactionid) >= age(e.xmin)
  WHERE stored.locktype = 'relation' AND stored.relation = 'events'::regclass
    AND stored.mode = 'RowExclusiveLock' AND stored.granted
)
"""


class PostgresIngestStatements(Dialect):
    """What ingest asks of PostgreSQL."""

    async def webhooks_of(
        self, connection: AsyncConnection, environment_ids: Collection[UUID]
    ) -> Sequence[RawRow]:
        """Return the webhooks of environments, oldest first, tombstones left out."""
        return await fetch(connection, _WEBHOOKS_OF, environment_ids)

    async def webhooks_by_id(
        self, connection: AsyncConnection, webhook_ids: Collection[UUID]
    ) -> Sequence[RawRow]:
        """Return webhooks of any environment, tombstones too."""
        return await fetch(connection, _WEBHOOKS_BY_ID, webhook_ids)

    async def webhooks_revision(self, connection: AsyncConnection) -> int:
        """Return the webhooks' revision."""
        ((number,),) = await fetch(connection, REVISION)
        return int(number)

    async def add_events(
        self, connection: AsyncConnection, events: Sequence[EventToStore], now: datetime
    ) -> Mapping[EventKey, KnownEvent]:
        """Insert the events that are new; return those that are known."""
        known_events: dict[EventKey, KnownEvent] = {}
        left = list(events)
        while left:
            arrays = *event_columns(left), now, traceparents(left)
            inserted = await fetch(connection, _ADD_EVENTS, *arrays)
            new = {tuple(row) for row in inserted}
            left = [stored for stored in left if stored.event.key not in new]
            if left:
                known_events |= await find_events(connection, left)
                # What retention has deleted between the two statements is new again.
                left = [stored for stored in left if stored.event.key not in known_events]
        return known_events

    async def traceparents(
        self, connection: AsyncConnection, keys: Collection[EventKey]
    ) -> Mapping[EventKey, str]:
        """Return the places of events in their traces, where they have one."""
        rows = await fetch(connection, _TRACEPARENTS, *columns(keys, 2))
        return {(environment, event_id): traceparent for environment, event_id, traceparent in rows}

    async def add_deliveries(
        self, connection: AsyncConnection, deliveries: Sequence[NewDelivery], lease: Lease
    ) -> None:
        """Insert deliveries; those that are claimed under this lease, with attempt 1."""
        if deliveries:
            values = delivery_columns(deliveries)
            shared = lease.claimed_at, lease.worker, lease.until
            await run(connection, _ADD_DELIVERIES, *values, *shared)

    async def has_open_publish(self, connection: AsyncConnection, environment_id: UUID) -> bool:
        """Look for one that has stored events and is older than the erasure's last step."""
        ((is_publishing,),) = await fetch(connection, _PUBLISHING, environment_id)
        return bool(is_publishing)


async def find_events(
    connection: AsyncConnection, events: Sequence[EventToStore]
) -> Mapping[EventKey, KnownEvent]:
    """Return those of the events that are stored."""
    keys = [(stored.event.event_id, stored.event.environment_id) for stored in events]
    rows = await fetch(connection, FIND_EVENTS, *columns(keys, 2))
    return {(environment, event_id): KnownEvent(*rest) for environment, event_id, *rest in rows}
