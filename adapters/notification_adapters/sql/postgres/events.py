"""Storing a batch of events with their deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import KnownEvent, Lease
from notification_adapters.sql.postgres.driver import columns, fetch, run
from notification_core.model.delivery import NewDelivery
from notification_core.model.event import EventKey, EventToStore

# In the order of the arrays, so that overlapping batches wait for one another and never in a ring.
_ADD_EVENTS = """
INSERT INTO events (event_id, environment_id, type, occurred_at, body, stored_at)
SELECT event_id, environment_id, type, occurred_at, body, $6::timestamptz
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::bytea[])
  AS new (event_id, environment_id, type, occurred_at, body)
ON CONFLICT DO NOTHING
RETURNING environment_id, event_id
"""
_KNOWN = """
SELECT e.environment_id, e.event_id, e.type, e.body
FROM unnest($1::text[], $2::uuid[]) AS k (event_id, environment_id)
JOIN events AS e ON e.event_id = k.event_id AND e.environment_id = k.environment_id
"""
# What all of a batch share comes once: an array costs more than a column of COPY, and COPY a trip
# to the server more, which one event on its own would wait for.
_ADD_DELIVERIES = """
INSERT INTO deliveries (delivery_id, environment_id, webhook_id, event_id, state, reason,
  due_at, created_at, event_stored_at, failures, interruptions, attempt, worker, leased_until,
  started_at, ended_at)
SELECT delivery_id, environment_id, webhook_id, event_id, state, reason, $8, $8, $8, 0, 0,
  begun::int, CASE WHEN begun THEN $9::uuid END, CASE WHEN begun THEN $10::timestamptz END,
  CASE WHEN begun THEN $8::timestamptz END, CASE WHEN state <> 'pending' THEN $8::timestamptz END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::boolean[])
  AS new (delivery_id, environment_id, webhook_id, event_id, state, reason, begun)
"""
_of_event = attrgetter("event_id", "environment_id", "type", "occurred_at")
_of_delivery = attrgetter(
    "delivery_id", "environment_id", "webhook_id", "event_id", "state", "reason", "begun"
)


async def add_events(
    connection: AsyncConnection, events: Sequence[EventToStore], now: datetime
) -> Mapping[EventKey, KnownEvent]:
    """Insert the events that are new; return those that are known."""
    found: dict[EventKey, KnownEvent] = {}
    left = list(events)
    while left := await _inserted(connection, left, now):
        found |= await known(connection, left)
        # What retention has deleted between the two statements is new again.
        left = [one for one in left if one.event.key not in found]
    return found


async def _inserted(
    connection: AsyncConnection, events: Sequence[EventToStore], now: datetime
) -> list[EventToStore]:
    """Insert events; return those that were there already."""
    if not events:
        return []
    inserted = await fetch(connection, _ADD_EVENTS, *event_columns(events), now)
    if len(inserted) == len(events):
        return []
    new = {tuple(row) for row in inserted}
    return [one for one in events if one.event.key not in new]


async def known(
    connection: AsyncConnection, events: Sequence[EventToStore]
) -> Mapping[EventKey, KnownEvent]:
    """Return those of the events that are stored."""
    keys = [(one.event.event_id, one.event.environment_id) for one in events]
    rows = await fetch(connection, _KNOWN, *columns(keys, 2))
    return {(environment, event_id): KnownEvent(*rest) for environment, event_id, *rest in rows}


async def add_deliveries(
    connection: AsyncConnection, deliveries: Sequence[NewDelivery], lease: Lease
) -> None:
    """Insert deliveries; those that are begun under this lease, with attempt 1."""
    if deliveries:
        values = delivery_columns(deliveries)
        await run(connection, _ADD_DELIVERIES, *values, lease.begun_at, lease.worker, lease.until)


def event_columns(events: Sequence[EventToStore]) -> Sequence[Sequence[object]]:
    """Return what is stored of events, in arrays: id, environment, type, time and body."""
    return columns([(*_of_event(one.event), one.body) for one in events], 5)


def delivery_columns(deliveries: Sequence[NewDelivery]) -> Sequence[Sequence[object]]:
    """Return what deliveries do not share, in arrays: four ids, state, reason, begun or not."""
    return columns(map(_of_delivery, deliveries), 7)
