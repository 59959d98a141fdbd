"""Operational events on their way to webhooks: written with what they tell of, and taken once."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.installation_tables import operational_events
from notification_core.model.event import Event

_o = operational_events.c
_ANYTHING = sa.select(_o.event_id).limit(1)


async def add(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Write events, inside the transaction of what they tell of."""
    rows = [
        {
            "event_id": UUID(event.event_id),
            "type": event.type,
            "occurred_at": event.occurred_at,
            "data": event.data,
            "ordering_key": event.ordering_key,
        }
        for event in events
    ]
    if rows:
        await connection.execute(sa.insert(operational_events), rows)


async def are_waiting(connection: AsyncConnection) -> bool:
    """Tell whether there are any."""
    return (await connection.execute(_ANYTHING)).first() is not None


async def take(connection: AsyncConnection, environment_id: UUID, limit: int) -> Sequence[Event]:
    """Delete the oldest events that nobody else takes, and return them as an environment's."""
    oldest = sa.select(operational_events).order_by(_o.event_id).limit(limit)
    rows = (await connection.execute(oldest.with_for_update(skip_locked=True))).all()
    if rows:
        taken = _o.event_id.in_([row.event_id for row in rows])
        await connection.execute(sa.delete(operational_events).where(taken))
    return [
        Event(
            str(row.event_id),
            environment_id,
            row.type,
            row.occurred_at,
            row.data,
            row.ordering_key,
        )
        for row in rows
    ]
