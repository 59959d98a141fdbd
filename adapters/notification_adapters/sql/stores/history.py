"""Looking back on events and deliveries, on SQL."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from attrs import evolve
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.pages import ids_to_examine, last_examined, rows_to_examine
from notification_adapters.sql.statements import ResultRow, Statement
from notification_adapters.sql.stores.logs import attempt_from
from notification_adapters.sql.tables import attempts, deliveries, events
from notification_core.errors import DeliveryNotFound, EventGone, EventNotFound
from notification_core.model.delivery import DeliveryOrigin, DeliveryState, EndReason
from notification_core.model.event import EventKey
from notification_core.model.ordering import HELD_UNTIL
from notification_core.model.read_models import (
    EVERY_DELIVERY,
    EVERY_EVENT,
    MAX_EXAMINED,
    DeliveryCriteria,
    DeliveryPage,
    DeliveryView,
    EventBody,
    EventCriteria,
    EventPage,
    EventPlace,
    EventRecord,
    EventSummary,
    fitting,
    page_of,
)
from notification_core.ports.history import History

_d, _e = deliveries.c, events.c
_MAX_IDS = 1_000

# Made once: every request about a delivery asks this.
_ENVIRONMENT_OF = Statement(
    sa.select(_d.environment_id).where(_d.delivery_id == sa.bindparam("delivery_id"))
)

_EVENT = Statement(
    sa.select(_e.type, _e.occurred_at, _e.stored_at, _e.ordering_key).where(
        _e.event_id == sa.bindparam("event_id"),
        _e.environment_id == sa.bindparam("environment_id"),
    )
)


class SqlHistory(History):
    """Reads events and deliveries from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def environment_of(self, delivery_id: UUID) -> UUID:
        """Return the environment of a delivery."""
        rows = await self._database.fetch(_ENVIRONMENT_OF, delivery_id=delivery_id)
        if not rows:
            raise DeliveryNotFound(delivery_id)
        owner: UUID = rows[0].environment_id
        return owner

    async def delivery(self, environment_id: UUID, delivery_id: UUID) -> DeliveryView:
        """Return a delivery with its attempts."""
        key = _d.delivery_id == delivery_id, _d.environment_id == environment_id
        made = (
            sa.select(attempts)
            .where(
                attempts.c.delivery_id == delivery_id, attempts.c.environment_id == environment_id
            )
            .order_by(attempts.c.attempt)
        )
        async with self._database.read_transaction() as connection:
            row = (await connection.execute(_records(_rows().where(*key).subquery()))).first()
            ended = [attempt_from(attempt) for attempt in await connection.execute(made)]
        if row is None:
            raise DeliveryNotFound(delivery_id)
        return evolve(_record(row), attempts=ended)

    async def of_webhook(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        limit: int,
        before: UUID | None = None,
        criteria: DeliveryCriteria = EVERY_DELIVERY,
    ) -> DeliveryPage:
        """Return a webhook's deliveries by falling id, those below ``before`` only."""
        key = {"environment_id": environment_id, "webhook_id": webhook_id}
        values = {**key, **ids_to_examine(criteria, before, limit)}
        if not criteria.is_selective:
            found = await self._database.fetch(_OF_WEBHOOK, **values)
            return page_of([_record(row) for row in found], limit, None, _delivery_id)
        examined = _EXAMINED.params(values).subquery()
        async with self._database.read_transaction() as connection:
            rows = await connection.execute(_matching(examined, criteria, limit + 1))
            records = [_record(row) for row in rows]
            end = await last_examined(connection, examined, [examined.c.delivery_id])
        return page_of(records, limit, end and end.delivery_id, _delivery_id)

    async def event(self, environment_id: UUID, event_id: str) -> EventRecord:
        """Return an event."""
        if "\0" in event_id:
            # No event is stored under such an id, and PostgreSQL does not even take the question.
            raise EventNotFound(event_id)
        key = {"event_id": event_id, "environment_id": environment_id}
        for row in await self._database.fetch(_EVENT, **key):
            times = row.occurred_at, row.stored_at
            return EventRecord(
                event_id, environment_id, row.type, *times, ordering_key=row.ordering_key
            )
        raise EventNotFound(event_id)

    async def body(self, environment_id: UUID, event_id: str) -> EventBody:
        """Return an event with its body."""
        event = await self.event(environment_id, event_id)
        query = sa.select(_e.body).where(
            _e.event_id == event_id, _e.environment_id == environment_id
        )
        async with self._database.query() as connection:
            body = (await connection.execute(query)).scalar()
        if body is None:
            raise EventGone(event_id)
        return EventBody(event_id, event.event_type, body)

    async def known_events(self, keys: Collection[EventKey]) -> Collection[EventKey]:
        """Return those of these keys that events are stored under."""
        ids_of: dict[UUID, list[str]] = defaultdict(list)
        for environment_id, event_id in keys:
            ids_of[environment_id].append(event_id)
        known: set[EventKey] = set()
        async with self._database.query() as connection:
            for environment_id, event_ids in ids_of.items():
                for start in range(0, len(event_ids), _MAX_IDS):
                    query = sa.select(_e.event_id).where(
                        _e.event_id.in_(event_ids[start : start + _MAX_IDS]),
                        _e.environment_id == environment_id,
                    )
                    found = (await connection.execute(query)).scalars()
                    known |= {(environment_id, event_id) for event_id in found}
        return known

    async def of_event(
        self, environment_id: UUID, event_id: str, limit: int, before: UUID | None = None
    ) -> DeliveryPage:
        """Return an event's deliveries by falling id, those below ``before`` only."""
        key = {"environment_id": environment_id, "event_id": event_id}
        values = {**key, **ids_to_examine(EVERY_DELIVERY, before, limit)}
        rows = await self._database.fetch(_OF_EVENT, **values)
        return page_of([_record(row) for row in rows], limit, None, _delivery_id)

    async def bodies(
        self, environment_id: UUID, event_types: Collection[str], limit: int
    ) -> Sequence[EventBody]:
        """Return an environment's latest events of some types that have a body, newest first."""
        examined = (
            sa.select(_e.event_id, _e.type, _e.stored_at, sa.func.length(_e.body).label("size"))
            .where(_e.environment_id == environment_id)
            .order_by(_e.stored_at.desc(), _e.event_id.desc())
            .limit(MAX_EXAMINED)
            .subquery()
        )
        x = examined.c
        latest = (
            sa.select(x.event_id, x.size)
            .where(x.size.is_not(None), x.type.in_(sorted(event_types)))
            .order_by(x.stored_at.desc(), x.event_id.desc())
            .limit(limit)
        )
        async with self._database.read_transaction() as connection:
            found = (await connection.execute(latest)).all()
            event_ids = [row.event_id for row in found[: fitting(row.size for row in found)]]
            query = sa.select(_e.event_id, _e.type, _e.body).where(
                _e.environment_id == environment_id, _e.event_id.in_(event_ids)
            )
            rows = {row.event_id: row for row in await connection.execute(query)}
        return [
            EventBody(event_id, rows[event_id].type, rows[event_id].body)
            for event_id in event_ids
            if event_id in rows
        ]

    async def events(
        self,
        environment_id: UUID,
        limit: int,
        before: EventPlace | None = None,
        criteria: EventCriteria = EVERY_EVENT,
    ) -> EventPage:
        """Return an environment's events by falling (time stored, id), those below ``before``."""
        examined = (
            sa.select(_e.event_id, _e.type, _e.occurred_at, _e.stored_at, _e.ordering_key)
            .where(_e.environment_id == environment_id, *_of_the_time(criteria, before))
            .order_by(_e.stored_at.desc(), _e.event_id.desc())
            .limit(rows_to_examine(limit, is_selective=criteria.is_selective))
            .subquery()
        )
        place = examined.c.stored_at, examined.c.event_id
        matching = sa.select(examined).order_by(*(column.desc() for column in place))
        if criteria.event_type is not None:
            matching = matching.where(examined.c.type == criteria.event_type)
        async with self._database.read_transaction() as connection:
            rows = (await connection.execute(matching.limit(limit + 1))).all()
            event_ids = [row.event_id for row in rows[:limit]]
            counts = await _counts(connection, environment_id, event_ids)
            end = (
                await last_examined(connection, examined, place) if criteria.is_selective else None
            )
        summaries = [
            EventSummary(
                row.event_id,
                environment_id,
                row.type,
                row.occurred_at,
                row.stored_at,
                {state: counts[row.event_id].get(state.value, 0) for state in DeliveryState},
                row.ordering_key,
            )
            for row in rows
        ]
        stopped_at = None if end is None else EventPlace(end.stored_at, end.event_id)
        return page_of(
            summaries, limit, stopped_at, lambda event: EventPlace(event.stored_at, event.event_id)
        )


def _rows() -> sa.Select[Any]:
    return sa.select(
        _d.delivery_id,
        _d.environment_id,
        _d.webhook_id,
        _d.event_id,
        _d.state,
        _d.reason,
        _d.origin,
        _d.replay_id,
        _d.attempt,
        _d.worker,
        _d.due_at,
        _d.created_at,
        _d.ordering_key,
    )


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


def _newest(column: sa.ColumnElement[Any], name: str) -> sa.Select[Any]:
    """Select the newest deliveries of a webhook or of an event, by an index."""
    return (
        _rows()
        .where(
            column == sa.bindparam(name),
            _d.environment_id == sa.bindparam("environment_id"),
            _d.delivery_id >= sa.bindparam("least"),
            _d.delivery_id < sa.bindparam("below"),
        )
        .order_by(_d.delivery_id.desc())
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


_EXAMINED = _newest(_d.webhook_id, "webhook_id")
_OF_WEBHOOK = Statement(_records(_EXAMINED.subquery()))
_OF_EVENT = Statement(_records(_newest(_d.event_id, "event_id").subquery()))


def _matching(rows: sa.Subquery, criteria: DeliveryCriteria, limit: int) -> sa.Select[Any]:
    matching = _records(rows).limit(limit)
    if criteria.state is not None:
        matching = matching.where(rows.c.state == criteria.state.value)
    if criteria.event_type is not None:
        matching = matching.where(_e.type == criteria.event_type)
    if criteria.http_code is not None:
        responded = sa.exists().where(
            attempts.c.delivery_id == rows.c.delivery_id,
            attempts.c.environment_id == rows.c.environment_id,
            attempts.c.http_code == criteria.http_code,
        )
        matching = matching.where(responded)
    return matching


def _of_the_time(
    criteria: EventCriteria, before: EventPlace | None
) -> list[sa.ColumnElement[bool]]:
    bounds = []
    if before is not None:
        # The first condition says no more than the second: it is for the index.
        bounds.append(_e.stored_at <= before.stored_at)
        bounds.append(sa.or_(_e.stored_at < before.stored_at, _e.event_id < before.event_id))
    if criteria.since is not None:
        bounds.append(_e.stored_at >= criteria.since)
    if criteria.until is not None:
        bounds.append(_e.stored_at < criteria.until)
    return bounds


async def _counts(
    connection: AsyncConnection, environment_id: UUID, event_ids: Sequence[str]
) -> Mapping[str, Mapping[str, int]]:
    """Count the deliveries of events by their states."""
    counted = (
        sa.select(_d.event_id, _d.state, sa.func.count())
        .where(_d.event_id.in_(event_ids), _d.environment_id == environment_id)
        .group_by(_d.event_id, _d.state)
    )
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for event_id, state, count in await connection.execute(counted):
        counts[event_id][state] = count
    return counts


def _delivery_id(delivery: DeliveryView) -> UUID:
    return delivery.delivery_id


def _record(row: ResultRow) -> DeliveryView:
    state = DeliveryState(row.state)
    waits = state is DeliveryState.PENDING and row.worker is None
    is_held = waits and row.due_at == HELD_UNTIL
    return DeliveryView(
        delivery_id=row.delivery_id,
        environment_id=row.environment_id,
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        event_type=row.type,
        state=state,
        attempt=row.attempt,
        created_at=row.created_at,
        reason=None if row.reason is None else EndReason(row.reason),
        origin=None if row.origin is None else DeliveryOrigin(row.origin),
        replay_id=row.replay_id,
        next_attempt_at=row.due_at if waits and not is_held else None,
        ordering_key=row.ordering_key,
        held=is_held,
    )
