"""Looking back on events and deliveries, on SQL."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from attrs import evolve
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.engine import Database
from notification_adapters.sql.logs import attempt_from
from notification_adapters.sql.tables import attempts, deliveries, events
from notification_core.deliveries import Origin, Reason, State
from notification_core.errors import DeliveryNotFound, EventNotFound
from notification_core.history import (
    EVERY,
    MOST_LOOKED_AT,
    DeliveryPage,
    DeliveryRecord,
    EventRecord,
    Wanted,
    page_of,
)
from notification_core.ids import earliest_id
from notification_core.ports.history import History

_d = deliveries.c


class SqlHistory(History):
    """Reads events and deliveries from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def environment_of(self, delivery_id: UUID) -> UUID:
        """Return the environment of a delivery."""
        wanted = sa.select(_d.environment_id).where(_d.delivery_id == delivery_id)
        async with self._database.reading() as connection:
            found: UUID | None = (await connection.execute(wanted)).scalar()
        if found is None:
            raise DeliveryNotFound(delivery_id)
        return found

    async def delivery(self, environment_id: UUID, delivery_id: UUID) -> DeliveryRecord:
        """Return a delivery with its attempts."""
        one = _d.delivery_id == delivery_id, _d.environment_id == environment_id
        made = (
            sa.select(attempts)
            .where(
                attempts.c.delivery_id == delivery_id, attempts.c.environment_id == environment_id
            )
            .order_by(attempts.c.attempt)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(_records(_rows().where(*one).subquery()))).first()
            ended = [attempt_from(each) for each in await connection.execute(made)]
        if row is None:
            raise DeliveryNotFound(delivery_id)
        return evolve(_record(row), attempts=ended)

    async def of_webhook(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        limit: int,
        before: UUID | None = None,
        wanted: Wanted = EVERY,
    ) -> DeliveryPage:
        """Return a webhook's deliveries by falling id, those below ``before`` only."""
        looked_at = (
            _rows()
            .where(_d.webhook_id == webhook_id, _d.environment_id == environment_id)
            .where(*_within(wanted, before))
            .order_by(_d.delivery_id.desc())
            .limit(MOST_LOOKED_AT if wanted.passes_over else limit + 1)
            .subquery()
        )
        async with self._database.reading() as connection:
            rows = await connection.execute(_matching(looked_at, wanted, limit + 1))
            found = [_record(row) for row in rows]
            looked_to = await _end_of(connection, looked_at) if wanted.passes_over else None
        return page_of(found, limit, looked_to)

    async def event(self, environment_id: UUID, event_id: str) -> EventRecord:
        """Return an event."""
        columns = events.c.type, events.c.occurred_at, events.c.stored_at
        wanted = sa.select(*columns).where(
            events.c.event_id == event_id, events.c.environment_id == environment_id
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).first()
        if row is None:
            raise EventNotFound(event_id)
        return EventRecord(event_id, environment_id, row.type, row.occurred_at, row.stored_at)

    async def of_event(
        self, environment_id: UUID, event_id: str, limit: int, before: UUID | None = None
    ) -> DeliveryPage:
        """Return an event's deliveries by falling id, those below ``before`` only."""
        made = (
            _rows()
            .where(_d.event_id == event_id, _d.environment_id == environment_id)
            .where(*_within(EVERY, before))
            .order_by(_d.delivery_id.desc())
            .limit(limit + 1)
            .subquery()
        )
        async with self._database.reading() as connection:
            found = [_record(row) for row in await connection.execute(_records(made))]
        return page_of(found, limit, None)


def _rows() -> sa.Select[Any]:
    return sa.select(
        _d.delivery_id,
        _d.environment_id,
        _d.webhook_id,
        _d.event_id,
        _d.state,
        _d.reason,
        _d.origin,
        _d.attempt,
        _d.worker,
        _d.due_at,
        _d.created_at,
    )


def _within(wanted: Wanted, before: UUID | None) -> list[sa.ColumnElement[bool]]:
    """Bound the ids: they tell the time, so that the one index serves the times too."""
    bounds = []
    if before is not None:
        bounds.append(_d.delivery_id < before)
    if wanted.since is not None:
        bounds.append(_d.delivery_id >= earliest_id(wanted.since))
    if wanted.until is not None:
        bounds.append(_d.delivery_id < earliest_id(wanted.until))
    return bounds


def _records(rows: sa.Subquery) -> sa.Select[Any]:
    """Give rows of deliveries the type of their event, newest first."""
    same = sa.and_(
        events.c.event_id == rows.c.event_id, events.c.environment_id == rows.c.environment_id
    )
    return (
        sa.select(rows, events.c.type)
        .select_from(rows.join(events, same))
        .order_by(rows.c.delivery_id.desc())
    )


def _matching(rows: sa.Subquery, wanted: Wanted, limit: int) -> sa.Select[Any]:
    matching = _records(rows).limit(limit)
    if wanted.state is not None:
        matching = matching.where(rows.c.state == wanted.state.value)
    if wanted.event_type is not None:
        matching = matching.where(events.c.type == wanted.event_type)
    return matching


async def _end_of(connection: AsyncConnection, looked_at: sa.Subquery) -> UUID | None:
    """Return the last row that was looked at, None where there were no more to look at."""
    wanted = sa.select(sa.func.count(), sa.func.min(looked_at.c.delivery_id)).select_from(looked_at)
    count, last = (await connection.execute(wanted)).one()
    return last if count == MOST_LOOKED_AT else None


def _record(row: sa.Row[Any]) -> DeliveryRecord:
    state = State(row.state)
    waits = state is State.PENDING and row.worker is None
    return DeliveryRecord(
        delivery_id=row.delivery_id,
        environment_id=row.environment_id,
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        event_type=row.type,
        state=state,
        attempt=row.attempt,
        created_at=row.created_at,
        reason=None if row.reason is None else Reason(row.reason),
        origin=None if row.origin is None else Origin(row.origin),
        next_attempt_at=row.due_at if waits else None,
    )
