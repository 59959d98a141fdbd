"""Deleting what is stored of an environment, a batch at a time.

Rows are found by the indexes that there are: events by their environment, deliveries and attempts
by their events, and what has lost its event by its webhook, which goes last. They are deleted by
their keys: a planner that is given a subquery to delete by may walk the whole table.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Dialect
from notification_adapters.sql.planner import off_index
from notification_adapters.sql.statements import Statement
from notification_adapters.sql.stores.webhook_rows import increment_revision
from notification_adapters.sql.tables import (
    ERASING,
    attempts,
    audit,
    deliveries,
    environment_keys,
    erasures,
    events,
    idempotent_responses,
    ordering_keys,
    portal_sessions,
    replays,
    statistics,
    statistics_minutes,
    webhook_health,
    webhook_rates,
    webhooks,
)
from notification_core.model.erasure import NOTHING_ERASED, ErasedBatch

_e = erasures.c

RUNNING = Statement(sa.select(_e.environment_id).where(ERASING))
"""Finds the environments whose erasure runs: whatever is made in an environment asks this first."""

_Step = Callable[[AsyncConnection, UUID, int], Awaitable[int | None]]
"""Deletes some rows and returns how many; None if there are none of its kind any more."""


async def advance(
    connection: AsyncConnection, dialect: Dialect, environment_id: UUID, limit: int
) -> ErasedBatch:
    """Delete the next rows of an environment; complete its erasure where none are left to come."""
    this = _e.environment_id == environment_id, _e.ended_at.is_(None)
    lock = sa.select(_e.erased).where(*this).with_for_update(skip_locked=True)
    if (await connection.execute(lock)).first() is None:
        return NOTHING_ERASED
    progress = sa.update(erasures).where(*this)
    for step in _STEPS:
        erased = await step(connection, environment_id, limit)
        if erased is not None:
            counted = 0 if step in _STATISTICS else erased
            await connection.execute(progress.values(erased=_e.erased + counted))
            return ErasedBatch(erased, is_last=False)
    if await dialect.has_open_publish(connection, environment_id):
        return NOTHING_ERASED
    if await _forget_groups(connection, environment_id, limit) == limit:
        return NOTHING_ERASED
    await connection.execute(progress.values(ended_at=await dialect.now(connection)))
    await increment_revision(connection)
    return ErasedBatch(0, is_last=True)


async def _forget_groups(connection: AsyncConnection, environment_id: UUID, limit: int) -> int:
    """Delete what groups were locked by; it does not count, for there is nothing in it."""
    group = ordering_keys.c.webhook_id, ordering_keys.c.ordering_key
    query = sa.select(*group).where(ordering_keys.c.environment_id == environment_id).limit(limit)
    groups = [tuple(row) for row in await connection.execute(query)]
    if groups:
        await connection.execute(
            sa.delete(ordering_keys).where(
                ordering_keys.c.environment_id == environment_id, sa.tuple_(*group).in_(groups)
            )
        )
    return len(groups)


async def _events(connection: AsyncConnection, environment_id: UUID, limit: int) -> int | None:
    """Delete the oldest events with all that was made of them."""
    oldest = (
        sa.select(events.c.event_id)
        .where(events.c.environment_id == environment_id)
        .order_by(events.c.stored_at)
        .limit(limit)
    )
    event_ids = (await connection.execute(oldest)).scalars().all()
    if not event_ids:
        return None
    free = deliveries.c.worker.is_(None)
    made = sa.select(deliveries.c.delivery_id).where(
        deliveries.c.environment_id == environment_id, deliveries.c.event_id.in_(event_ids), free
    )
    delivery_ids = (await connection.execute(made.limit(limit))).scalars().all()
    if delivery_ids:
        logged = sa.select(attempts.c.delivery_id).where(
            attempts.c.delivery_id.in_(delivery_ids),
            off_index(attempts.c.environment_id) == environment_id,
        )
        erased = await _delete(connection, attempts.c.delivery_id, environment_id, logged, limit)
        if erased < limit:
            key = deliveries.c.delivery_id
            erased += await _delete_these(connection, key, environment_id, delivery_ids, free)
        return erased
    # What a worker has is left, and its event: its attempt is logged first.
    left = sa.exists().where(
        deliveries.c.event_id == events.c.event_id,
        deliveries.c.environment_id == events.c.environment_id,
    )
    return await _delete_these(connection, events.c.event_id, environment_id, event_ids, ~left)


def _by_webhook(table: sa.Table, key: sa.Column[Any]) -> _Step:
    """Delete what is left of webhooks although its event is gone."""
    of_a_webhook = sa.and_(
        table.c.webhook_id == webhooks.c.webhook_id,
        table.c.environment_id == webhooks.c.environment_id,
    )

    async def step(connection: AsyncConnection, environment_id: UUID, limit: int) -> int | None:
        query = (
            sa.select(key)
            .select_from(webhooks.join(table, of_a_webhook))
            .where(webhooks.c.environment_id == environment_id)
        )
        return await _delete(connection, key, environment_id, query, limit) or None

    return step


def _by_environment(table: sa.Table, key: sa.Column[Any]) -> _Step:
    """Delete what has an index of its environment."""

    async def step(connection: AsyncConnection, environment_id: UUID, limit: int) -> int | None:
        query = sa.select(key).where(table.c.environment_id == environment_id)
        return await _delete(connection, key, environment_id, query, limit) or None

    return step


def _counted(table: sa.Table) -> _Step:
    """Delete statistics of webhooks, in the order in which they are written."""
    s = table.c
    key = s.webhook_id, s.bucket_start, s.writer

    async def step(connection: AsyncConnection, environment_id: UUID, limit: int) -> int | None:
        oldest = (
            sa.select(*key)
            .select_from(webhooks.join(table, webhooks.c.webhook_id == s.webhook_id))
            .where(webhooks.c.environment_id == environment_id, s.environment_id == environment_id)
            .order_by(*key)
            .limit(limit)
            .with_for_update(of=table)
        )
        keys = [tuple(row) for row in await connection.execute(oldest)]
        if not keys:
            return None
        these = sa.tuple_(*key).in_(keys), s.environment_id == environment_id
        return (await connection.execute(sa.delete(table).where(*these))).rowcount

    return step


async def _delete(
    connection: AsyncConnection,
    key: sa.Column[Any],
    environment_id: UUID,
    query: sa.Select[Any],
    limit: int,
) -> int:
    """Delete some of the rows whose keys are wanted; return how many there were."""
    keys = (await connection.execute(query.limit(limit))).scalars().all()
    return await _delete_these(connection, key, environment_id, keys) if keys else 0


async def _delete_these(
    connection: AsyncConnection,
    key: sa.Column[Any],
    environment_id: UUID,
    keys: Sequence[object],
    *conditions: sa.ColumnElement[bool],
) -> int:
    table = key.table
    assert isinstance(table, sa.Table)  # noqa: S101 - for the type checker only
    its = key.in_(keys), table.c.environment_id == environment_id
    return (await connection.execute(sa.delete(table).where(*its, *conditions))).rowcount


_STATISTICS: Sequence[_Step] = (_counted(statistics), _counted(statistics_minutes))
_STEPS: Sequence[_Step] = (
    _events,
    _by_webhook(attempts, attempts.c.delivery_id),
    _by_webhook(deliveries, deliveries.c.delivery_id),
    _by_webhook(replays, replays.c.replay_id),
    _by_webhook(webhook_health, webhook_health.c.webhook_id),
    *_STATISTICS,
    _by_environment(idempotent_responses, idempotent_responses.c.request),
    _by_environment(audit, audit.c.entry_id),
    _by_environment(environment_keys, environment_keys.c.key_id),
    _by_environment(portal_sessions, portal_sessions.c.session_id),
    _by_webhook(webhook_rates, webhook_rates.c.webhook_id),
    _by_environment(webhooks, webhooks.c.webhook_id),
)
