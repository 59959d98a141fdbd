"""Which deliveries a replay makes once more, and making them, a batch at a time."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Dialect, WebhookKey
from notification_adapters.sql.planner import off_index
from notification_adapters.sql.statements import ResultRow
from notification_adapters.sql.stores import ordering
from notification_adapters.sql.tables import WAITING, deliveries, events, replays, webhooks
from notification_core.concurrency.ids import IdGenerator, earliest_id
from notification_core.model.delivery import DeliveryOrigin, DeliveryState, EndReason
from notification_core.model.ordering import key_in_group
from notification_core.model.replay import (
    NO_PROGRESS,
    Replay,
    ReplayCount,
    ReplayProgress,
    ReplayState,
    Selection,
)

_r = replays.c


class _Batch(NamedTuple):
    """Deliveries that were looked at, those of them to make, and whether they are the last."""

    examined: Sequence[sa.Row[Any]]
    chosen: Sequence[sa.Row[Any]]
    is_last: bool


async def count(
    connection: AsyncConnection, key: WebhookKey, selection: Selection, most: int
) -> ReplayCount:
    """Count what is selected, looking at no more than ``most`` deliveries."""
    rows = _deliveries_after(key, selection, None, most)
    selected = sa.func.count(sa.case((_is_selected(rows, selection), 1)))
    query = sa.select(sa.func.count(), selected).select_from(rows)
    examined, count = (await connection.execute(query)).one()
    return ReplayCount(count, is_exact=examined < most)


async def advance(  # noqa: PLR0913, PLR0917 - what it works on, and within which bounds
    connection: AsyncConnection,
    dialect: Dialect,
    replay: Replay,
    limit: int,
    max_waiting: int,
    now: datetime,
    ids: IdGenerator,
) -> ReplayProgress:
    """Make the next deliveries of a replay, if it runs and may make some now."""
    # None where it has ended or somebody else is at it.
    locked = sa.select(_r.cursor).where(*_running(replay)).with_for_update(skip_locked=True)
    job = (await connection.execute(locked)).first()
    webhook = None if job is None else await _webhook_to_send_to(connection, replay, now)
    if job is None or webhook is None:
        return NO_PROGRESS
    free = max_waiting - await _waiting(connection, replay, max_waiting)
    if free <= 0:
        return NO_PROGRESS
    batch = await _next(connection, replay, job.cursor, limit, free)
    stored = await _stored(connection, replay, {row.event_id for row in batch.chosen})
    of_events = [stored[row.event_id] for row in batch.chosen if row.event_id in stored]
    made = [
        {
            **again(
                (replay.environment_id, replay.webhook_id, event.event_id),
                ids(),
                event.stored_at,
                now,
            ),
            "origin": DeliveryOrigin.REPLAY.value,
            "replay_id": replay.replay_id,
            "ordering_key": key_in_group(event.ordering_key, is_ordered=webhook.ordered),
        }
        for event in of_events
    ]
    await ordering.add(connection, dialect, made)
    await connection.execute(_progress(replay, batch, now))
    return ReplayProgress(len(batch.examined), len(batch.chosen))


async def _stored(
    connection: AsyncConnection, replay: Replay, event_ids: Collection[str]
) -> Mapping[str, ResultRow]:
    """Return of the events that are left when they were stored, and their ordering keys.

    Retention takes none of these before this is committed.
    """
    if not event_ids:
        return {}
    query = (
        sa.select(events.c.event_id, events.c.stored_at, events.c.ordering_key)
        .where(
            events.c.event_id.in_(sorted(event_ids)),
            events.c.environment_id == replay.environment_id,
        )
        .with_for_update(read=True)
    )
    return {row.event_id: row for row in await connection.execute(query)}


async def _webhook_to_send_to(
    connection: AsyncConnection, replay: Replay, now: datetime
) -> ResultRow | None:
    """Return the webhook if it may be sent to; one that is deleted ends the replay."""
    query = sa.select(webhooks.c.disabled_until, webhooks.c.ordered).where(
        webhooks.c.webhook_id == replay.webhook_id,
        webhooks.c.environment_id == replay.environment_id,
        webhooks.c.deleted_at.is_(None),
    )
    webhook = (await connection.execute(query)).first()
    if webhook is None:
        ended = {"state": ReplayState.CANCELLED.value, "ended_at": now}
        await connection.execute(sa.update(replays).where(*_running(replay)).values(ended))
        return None
    is_enabled = webhook.disabled_until is None or webhook.disabled_until <= now
    return webhook if is_enabled else None


async def _waiting(connection: AsyncConnection, replay: Replay, most: int) -> int:
    """Count the webhook's waiting deliveries, at most so many."""
    rows = (
        sa.select(deliveries.c.due_at)
        .where(
            deliveries.c.webhook_id == replay.webhook_id,
            deliveries.c.environment_id == replay.environment_id,
            WAITING,
        )
        # The order keeps the planner at the index of what waits.
        .order_by(deliveries.c.due_at)
        .limit(most)
        .subquery()
    )
    query = sa.select(sa.func.count()).select_from(rows)
    counted: int = (await connection.execute(query)).scalar_one()
    return counted


async def _next(
    connection: AsyncConnection, replay: Replay, after: UUID | None, limit: int, most: int
) -> _Batch:
    key = replay.environment_id, replay.webhook_id
    rows = _deliveries_after(key, replay.selection, after, limit)
    selected = _is_selected(rows, replay.selection).label("is_selected")
    query = sa.select(rows, selected).order_by(rows.c.delivery_id)
    rows_found = (await connection.execute(query)).all()
    chosen = [row for row in rows_found if row.is_selected]
    if len(chosen) <= most:
        return _Batch(rows_found, chosen, is_last=len(rows_found) < limit)
    examined = rows_found[: rows_found.index(chosen[most - 1]) + 1]
    return _Batch(examined, chosen[:most], is_last=False)


def _deliveries_after(
    key: WebhookKey, selection: Selection, after: UUID | None, limit: int
) -> sa.Subquery:
    """Return a webhook's deliveries of the time, oldest first; their ids tell when."""
    environment_id, webhook_id = key
    d = deliveries.c
    rows = (
        sa.select(d.delivery_id, d.environment_id, d.webhook_id, d.event_id)
        .add_columns(d.state, d.reason, d.origin, d.created_at)
        .where(
            d.webhook_id == webhook_id,
            d.environment_id == environment_id,
            d.delivery_id >= earliest_id(selection.since),
            d.delivery_id < earliest_id(selection.until),
        )
        .order_by(d.delivery_id)
        .limit(limit)
    )
    return (rows if after is None else rows.where(d.delivery_id > after)).subquery()


def _is_selected(rows: sa.Subquery, selection: Selection) -> sa.ColumnElement[bool]:
    """Say of a row that was looked at what :class:`Selection` says."""
    body = sa.exists().where(
        events.c.event_id == rows.c.event_id,
        events.c.environment_id == rows.c.environment_id,
        events.c.body.is_not(None),
    )
    states: sa.ColumnElement[bool] = rows.c.state.in_(_values(selection.states))
    if not selection.includes_filtered:
        states &= rows.c.reason.is_distinct_from(EndReason.FILTER_NOT_MATCHED.value)
    return sa.and_(
        states,
        sa.or_(rows.c.origin.is_(None), rows.c.origin != DeliveryOrigin.TEST.value),
        body,
        ~_is_overtaken(rows, selection),
    )


def _is_overtaken(rows: sa.Subquery, selection: Selection) -> sa.ColumnElement[bool]:
    """Say of a row that a later delivery of its event makes another one needless."""
    later = deliveries.alias("later").c
    arrived = sa.and_(
        later.state == DeliveryState.SUCCEEDED.value, rows.c.state != DeliveryState.SUCCEEDED.value
    )
    is_selected = sa.and_(
        later.state.in_(_values(selection.states)),
        later.delivery_id < earliest_id(selection.until),
    )
    return sa.exists().where(
        later.event_id == rows.c.event_id,
        later.environment_id == rows.c.environment_id,
        off_index(later.webhook_id) == rows.c.webhook_id,
        later.delivery_id > rows.c.delivery_id,
        sa.or_(later.state == DeliveryState.PENDING.value, arrived, is_selected),
    )


def _progress(replay: Replay, batch: _Batch, now: datetime) -> sa.Update:
    """Write how far a replay has come with a batch."""
    change = sa.update(replays).where(*_running(replay))
    change = change.values(replayed=_r.replayed + len(batch.chosen))
    if batch.is_last:
        return change.values(
            state=ReplayState.COMPLETED.value, done_until=replay.selection.until, ended_at=now
        )
    last = batch.examined[-1]
    return change.values(cursor=last.delivery_id, done_until=last.created_at)


def _running(replay: Replay) -> Sequence[sa.ColumnElement[bool]]:
    return (
        _r.replay_id == replay.replay_id,
        _r.environment_id == replay.environment_id,
        _r.state == ReplayState.RUNNING.value,
    )


def again(
    of: tuple[UUID, UUID, str], delivery_id: UUID, event_stored_at: datetime, now: datetime
) -> dict[str, object]:
    """Return the row of one more delivery, due now: of (environment, webhook, event)."""
    environment_id, webhook_id, event_id = of
    return {
        "delivery_id": delivery_id,
        "environment_id": environment_id,
        "webhook_id": webhook_id,
        "event_id": event_id,
        "state": DeliveryState.PENDING.value,
        "due_at": now,
        "attempt": 0,
        "failures": 0,
        "interruptions": 0,
        "created_at": now,
        "event_stored_at": event_stored_at,
    }


def _values(states: Collection[DeliveryState]) -> list[str]:
    return sorted(state.value for state in states)
