"""Retention on SQL: short transactions, each bounded by what it deletes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.installation_tables import console_sessions, dead_letters
from notification_adapters.sql.instants import EPOCH, Instant
from notification_adapters.sql.planner import off_index
from notification_adapters.sql.stores.statistics_merging import (
    delete_before,
    delete_minutes_before,
    merge_minutes,
)
from notification_adapters.sql.tables import (
    attempts,
    audit,
    deliveries,
    events,
    portal_sessions,
    replays,
    statistics,
    statistics_minutes,
    webhook_rates,
    webhooks,
)
from notification_core.concurrency.ids import earliest_id
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.model.delivery import DeliveryState
from notification_core.model.replay import ReplayState
from notification_core.ports.retention import EventMark, Retention, Swept

ROWS_AT_ONCE: Final = 5_000
"""So many deliveries are deleted at once, or those of one event where they are more."""

_FIRST: Final = UUID(int=0)

_a, _d, _e, _w = attempts.c, deliveries.c, events.c, webhooks.c

# A loose index scan of the environments: it jumps from one to the next, and stops at the first
# whose oldest event is too old.
_NEXT_ENVIRONMENT: Final = (
    sa.text("""
WITH RECURSIVE environment (environment_id) AS (
  SELECT (
    SELECT environment_id FROM events WHERE environment_id > :after
    ORDER BY environment_id, stored_at LIMIT 1
  )
  UNION ALL
  SELECT (
    SELECT environment_id FROM events WHERE environment_id > environment.environment_id
    ORDER BY environment_id, stored_at LIMIT 1
  )
  FROM environment WHERE environment.environment_id IS NOT NULL
)
SELECT environment.environment_id FROM environment
WHERE environment.environment_id IS NOT NULL AND (
  SELECT stored_at FROM events WHERE events.environment_id = environment.environment_id
  ORDER BY stored_at LIMIT 1
) < :before
LIMIT 1
""")
    .bindparams(sa.bindparam("after", type_=sa.Uuid), sa.bindparam("before", type_=Instant))
    .columns(environment_id=sa.Uuid)
)

# The same of the logs: the next webhooks that have one, and whether its oldest attempt is too old.
_NEXT_LOGS: Final = (
    sa.text("""
WITH RECURSIVE log (webhook_id, number) AS (
  SELECT (
    SELECT webhook_id FROM attempts WHERE webhook_id > :after
    ORDER BY webhook_id, log_id LIMIT 1
  ), 1
  UNION ALL
  SELECT (
    SELECT webhook_id FROM attempts WHERE webhook_id > log.webhook_id
    ORDER BY webhook_id, log_id LIMIT 1
  ), log.number + 1
  FROM log WHERE log.webhook_id IS NOT NULL AND log.number < :most
)
SELECT log.webhook_id, (
  SELECT log_id FROM attempts WHERE attempts.webhook_id = log.webhook_id ORDER BY log_id LIMIT 1
) < :earliest AS is_old
FROM log WHERE log.webhook_id IS NOT NULL ORDER BY log.number
""")
    .bindparams(
        sa.bindparam("after", type_=sa.Uuid),
        sa.bindparam("earliest", type_=sa.Uuid),
        sa.bindparam("most", type_=sa.Integer),
    )
    .columns(webhook_id=sa.Uuid, is_old=sa.Boolean)
)


class SqlRetention(Retention):
    """Deletes what is old from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retry_lost_transaction
    async def sweep_attempts(self, before: datetime, after: UUID, limit: int) -> Swept[UUID]:
        """Delete attempts that were logged before: their ids tell when."""
        earliest = earliest_id(before)
        values = {"after": after, "earliest": earliest, "most": limit}
        async with self._database.read_transaction() as connection:
            logs = (await connection.execute(_NEXT_LOGS, values)).all()
            old = _a.webhook_id.in_([log.webhook_id for log in logs if log.is_old])
            found = sa.select(_a.delivery_id, _a.log_id).where(old, _a.log_id < earliest)
            rows = (await connection.execute(found.limit(limit))).all()
        reached = logs[-1].webhook_id if len(logs) == limit else None
        if not rows:
            return Swept(0, reached)
        delivery_ids, log_ids = zip(*rows, strict=True)
        these = _a.delivery_id.in_(delivery_ids), off_index(_a.log_id).in_(log_ids)
        async with self._database.write_transaction() as connection:
            deleted = (await connection.execute(sa.delete(attempts).where(*these))).rowcount
        # What was left out is found again, since what was deleted no longer is.
        return Swept(deleted, after if len(rows) == limit else reached)

    async def delete_audit_before(self, before: datetime, limit: int) -> int:
        """Delete entries of the audit log from before: their ids tell when."""
        return await self._delete_older(audit.c.entry_id, before, limit)

    async def delete_dead_letters_before(self, before: datetime, limit: int) -> int:
        """Delete dead letters that were stored before: their ids tell when."""
        return await self._delete_older(dead_letters.c.letter_id, before, limit)

    @retry_lost_transaction
    async def delete_sessions_before(self, before: datetime, limit: int) -> int:
        """Delete sessions that expired before: there is an index of that."""
        deleted = 0
        for table in (portal_sessions, console_sessions):
            old = sa.select(table.c.session_id).where(table.c.expires_at < before).limit(limit)
            async with self._database.query() as connection:
                ids = (await connection.execute(old)).scalars().all()
            if not ids:
                continue
            these = table.c.session_id.in_(ids), table.c.expires_at < before
            async with self._database.write_transaction() as connection:
                deleted += (await connection.execute(sa.delete(table).where(*these))).rowcount
        return deleted

    @retry_lost_transaction
    async def _delete_older(self, key: sa.Column[UUID], before: datetime, limit: int) -> int:
        """Delete the first rows of a table whose ids are older; return how many."""
        old = sa.select(key).where(key < earliest_id(before)).order_by(key)
        async with self._database.read_transaction() as connection:
            ids = (await connection.execute(old.limit(limit))).scalars().all()
        if not ids:
            return 0
        deletion = sa.delete(key.table).where(key <= ids[-1])
        async with self._database.write_transaction() as connection:
            return (await connection.execute(deletion)).rowcount

    @retry_lost_transaction
    async def sweep_events(
        self, before: datetime, after: EventMark | None, limit: int
    ) -> Swept[EventMark]:
        """Delete events that were stored before, with their deliveries."""
        async with self._database.read_transaction() as connection:
            batch = await _next_batch(connection, before, after, limit)
            if batch is None:
                return Swept(0, None)
            counts = await _finished(connection, batch)
        chosen = _within_bounds(counts, limit)
        whole = EventMark(batch.environment_id, batch.until)
        if not chosen:
            return Swept(0, whole)
        async with self._database.write_transaction() as connection:
            deleted = await _delete(connection, batch.environment_id, chosen)
        # What was left out is found again, since what was deleted no longer is.
        begin = EventMark(batch.environment_id, batch.after)
        return Swept(deleted, whole if len(chosen) == len(counts) else begin)

    @retry_lost_transaction
    async def merge_statistics(self, before: datetime, limit: int) -> int:
        """Add minutes from before up to hours; return how many rows."""
        return await merge_minutes(self._database, before, limit)

    @retry_lost_transaction
    async def delete_minutes_before(self, before: datetime, limit: int) -> int:
        """Delete the minutes from before of hours that were merged; return how many rows."""
        return await delete_minutes_before(self._database, before, limit)

    @retry_lost_transaction
    async def delete_statistics_before(self, before: datetime, limit: int) -> int:
        """Delete statistics from before; return how many rows."""
        return await delete_before(self._database, before, limit)

    @retry_lost_transaction
    async def delete_webhooks_before(self, before: datetime, limit: int) -> int:
        """Delete tombstones of which nothing is left, and replays that ended before."""
        empty = (
            sa.select(_w.webhook_id)
            .where(_w.deleted_at < before, *(_is_unused_by(table) for table in _USERS))
            .limit(limit)
        )
        ended = (
            replays.c.replay_id < earliest_id(before),
            replays.c.state != ReplayState.RUNNING.value,
        )
        old_replay = sa.select(sa.literal(1)).select_from(replays).where(*ended).limit(1)
        async with self._database.read_transaction() as connection:
            webhook_ids = (await connection.execute(empty)).scalars().all()
            replayed = (await connection.execute(old_replay)).first()
        if not webhook_ids and replayed is None:
            return 0
        deletion = sa.delete(webhooks).where(_w.webhook_id.in_(webhook_ids), _w.deleted_at < before)
        async with self._database.write_transaction() as connection:
            await connection.execute(sa.delete(replays).where(*ended))
            rates = webhook_rates.c.webhook_id.in_(webhook_ids)
            await connection.execute(sa.delete(webhook_rates).where(rates))
            return (await connection.execute(deletion)).rowcount


_USERS: Final = (deliveries, attempts, replays, statistics, statistics_minutes)


def _is_unused_by(table: sa.Table) -> sa.ColumnElement[bool]:
    # The order keeps the planner at an index: of one webhook there may be a million rows.
    any_row = (
        sa.select(table.c.webhook_id)
        .where(table.c.webhook_id == _w.webhook_id)
        .order_by(table.c.webhook_id)
        .limit(1)
    )
    return any_row.correlate(webhooks).scalar_subquery().is_(None)


class _Batch(NamedTuple):
    """All events of an environment that were stored after one time and until another."""

    environment_id: UUID
    after: datetime
    until: datetime
    event_ids: Sequence[str]


async def _next_batch(
    connection: AsyncConnection, before: datetime, after: EventMark | None, limit: int
) -> _Batch | None:
    """Return the next events that are old, of one environment; None if there are no more."""
    if after is not None and (rest := await _of_environment(connection, before, after, limit)):
        return rest
    reached = _FIRST if after is None else after.environment_id
    values = {"after": reached, "before": before}
    environment_id = (await connection.execute(_NEXT_ENVIRONMENT, values)).scalar()
    if environment_id is None:
        return None
    return await _of_environment(connection, before, EventMark(environment_id, EPOCH), limit)


async def _of_environment(
    connection: AsyncConnection, before: datetime, after: EventMark, limit: int
) -> _Batch | None:
    """Return some more than ``limit`` events where one moment has so many.

    Events of one moment stay together, since the index has no order among them.
    """
    old = (
        sa.select(_e.stored_at, _e.event_id)
        .where(
            _e.environment_id == after.environment_id,
            _e.stored_at < before,
            _e.stored_at > after.stored_at,
        )
        .order_by(_e.stored_at)
    )
    rows = [*await connection.execute(old.limit(limit + 1))]
    if not rows:
        return None
    last = rows[-1].stored_at
    if len(rows) > limit and rows[0].stored_at == last:
        of_one_moment = sa.select(_e.event_id).where(
            _e.environment_id == after.environment_id, _e.stored_at == last
        )
        ids = (await connection.execute(of_one_moment)).scalars().all()
        return _Batch(after.environment_id, after.stored_at, last, ids)
    if len(rows) > limit:
        rows = [row for row in rows if row.stored_at != last]
    ids = [row.event_id for row in rows]
    return _Batch(after.environment_id, after.stored_at, rows[-1].stored_at, ids)


async def _finished(connection: AsyncConnection, batch: _Batch) -> dict[str, int]:
    """Return the events of which nothing is pending or being attempted, with their deliveries."""
    alive = sa.or_(_d.state == DeliveryState.PENDING.value, _d.worker.is_not(None))
    counted = (
        sa.select(_d.event_id, sa.func.count(), sa.func.count(sa.case((alive, 1))))
        .where(_d.event_id.in_(batch.event_ids), _d.environment_id == batch.environment_id)
        .group_by(_d.event_id)
    )
    counts = {event_id: (all_, live) for event_id, all_, live in await connection.execute(counted)}
    counted_events = ((event_id, counts.get(event_id, (0, 0))) for event_id in batch.event_ids)
    return {event_id: all_ for event_id, (all_, live) in counted_events if not live}


def _within_bounds(counts: Mapping[str, int], limit: int) -> Sequence[str]:
    """Return so many of the events that what goes with them is bounded, the first in any case."""
    rows = 0
    chosen: list[str] = []
    for event_id, count in islice(counts.items(), limit):
        rows += count
        if chosen and rows > ROWS_AT_ONCE:
            break
        chosen.append(event_id)
    return chosen


async def _delete(
    connection: AsyncConnection, environment_id: UUID, event_ids: Sequence[str]
) -> int:
    """Delete events unless somebody has just made one of them live again."""
    ours = _e.environment_id == environment_id
    locked = sa.select(_e.event_id).where(_e.event_id.in_(event_ids), ours).with_for_update()
    await connection.execute(locked.order_by(_e.event_id))
    still = await _finished(connection, _Batch(environment_id, EPOCH, EPOCH, event_ids))
    theirs = _d.event_id.in_(still), _d.environment_id == environment_id
    await connection.execute(sa.delete(deliveries).where(*theirs))
    forgotten = await connection.execute(sa.delete(events).where(_e.event_id.in_(still), ours))
    return forgotten.rowcount
