"""Storing a batch of events with their deliveries."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import KnownEvent, Lease, RawRow
from notification_adapters.sql.sqlite.driver import Value, as_json, fetch, run_many
from notification_adapters.sql.tables import to_microseconds
from notification_core.model.delivery import DeliveryState, NewDelivery
from notification_core.model.event import EventKey, EventToStore

# The outer table must stay outside: the planner knows nothing of the size of a JSON text.
KNOWN = """
SELECT e.environment_id, e.event_id, e.type, e.body
FROM json_each(?) AS k CROSS JOIN events AS e ON e.event_id = k.value
"""
ADD_EVENT = """
INSERT INTO events (event_id, environment_id, type, occurred_at, body, stored_at)
VALUES (?, ?, ?, ?, ?, ?)
"""
ADD_DELIVERY = """
INSERT INTO deliveries (
  delivery_id, environment_id, webhook_id, event_id, state, reason, due_at, attempt, failures,
  interruptions, worker, leased_until, started_at, created_at, event_stored_at, ended_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?)
"""


async def add_events(
    connection: AsyncConnection, events: Sequence[EventToStore], now: datetime
) -> Mapping[EventKey, KnownEvent]:
    """Insert the events that are new; return those that are known."""
    known = await _known(connection, events)
    stored_at = to_microseconds(now)
    new = [event_row(one, stored_at) for one in events if not known or one.event.key not in known]
    await run_many(connection, ADD_EVENT, new)
    return known


async def _known(
    connection: AsyncConnection, events: Sequence[EventToStore]
) -> Mapping[EventKey, KnownEvent]:
    rows = await fetch(connection, KNOWN, ids_of(events))
    return known_of(rows, {one.event.key for one in events}) if rows else {}


def ids_of(events: Sequence[EventToStore]) -> str:
    """Return what ``KNOWN`` is asked by."""
    return as_json({one.event.event_id for one in events})


def known_of(rows: Sequence[RawRow], keys: Collection[EventKey]) -> Mapping[EventKey, KnownEvent]:
    """Return the events among the rows of ``KNOWN`` that were asked for."""
    found = {
        (UUID(environment), event_id): KnownEvent(type_, body)
        for environment, event_id, type_, body in rows
    }
    # The same id in another environment is another event.
    return {key: event for key, event in found.items() if key in keys}


async def add_deliveries(
    connection: AsyncConnection, deliveries: Sequence[NewDelivery], lease: Lease
) -> None:
    """Insert deliveries; those that are begun under this lease, with attempt 1."""
    await run_many(connection, ADD_DELIVERY, delivery_rows(deliveries, lease))


def delivery_rows(deliveries: Sequence[NewDelivery], lease: Lease) -> Sequence[Sequence[Value]]:
    """Return the values of ``ADD_DELIVERY``, of each in order."""
    now, until = to_microseconds(lease.begun_at), to_microseconds(lease.until)
    worker = None if lease.worker is None else lease.worker.hex
    begun = (1, worker, until, now, now, now)
    due = (0, None, None, None, now, now)
    return [
        (*_delivery_row(one, now), *(begun if one.begun else due), _ended_at(one, now))
        for one in deliveries
    ]


def event_row(stored: EventToStore, stored_at: int) -> Sequence[Value]:
    """Return the values of ``ADD_EVENT``."""
    event = stored.event
    return (
        event.event_id,
        event.environment_id.hex,
        event.type,
        to_microseconds(event.occurred_at),
        stored.body,
        stored_at,
    )


def _delivery_row(delivery: NewDelivery, now: int) -> Sequence[Value]:
    return (
        delivery.delivery_id.hex,
        delivery.environment_id.hex,
        delivery.webhook_id.hex,
        delivery.event_id,
        delivery.state.value,
        None if delivery.reason is None else delivery.reason.value,
        now,
    )


def _ended_at(delivery: NewDelivery, now: int) -> int | None:
    return None if delivery.state is DeliveryState.PENDING else now
