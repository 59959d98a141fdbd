"""Claiming: which webhooks have waiting deliveries, and taking a share of each queue.

The partial index ``deliveries_waiting`` (webhook, due) is named in each statement, so that a
changed plan is an error and not a slow day: what a claim costs must depend on what it takes, never
on how long the queues are.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Lease, Look, Queue, RawRow, Waiting
from notification_adapters.sql.sqlite.driver import as_json, fetch, run_many
from notification_adapters.sql.tables import from_microseconds, to_microseconds
from notification_core.model.delivery import ClaimedDelivery, Fence

# A loose index scan of the webhooks after ?1, at most ?2: SQLite jumps from queue to queue
# instead of reading every row.
LOOSE_SCAN = """
WITH RECURSIVE queue (webhook_id, number) AS (
  SELECT (
    SELECT webhook_id FROM deliveries INDEXED BY deliveries_waiting
    WHERE state = 'pending' AND worker IS NULL AND webhook_id > ?1
    ORDER BY webhook_id LIMIT 1
  ), 1
  UNION ALL
  SELECT (
    SELECT webhook_id FROM deliveries INDEXED BY deliveries_waiting
    WHERE state = 'pending' AND worker IS NULL AND webhook_id > queue.webhook_id
    ORDER BY webhook_id LIMIT 1
  ), number + 1
  FROM queue WHERE queue.webhook_id IS NOT NULL AND number < ?2
)"""
QUEUES = f"""{LOOSE_SCAN}
SELECT c.number, q.webhook_id, (
  SELECT due_at FROM deliveries INDEXED BY deliveries_waiting
  WHERE state = 'pending' AND worker IS NULL AND webhook_id = q.webhook_id
  ORDER BY due_at LIMIT 1
), w.webhook_id IS NULL OR w.deleted_at IS NOT NULL, w.disabled_until
FROM changes AS c CROSS JOIN queue AS q LEFT JOIN webhooks AS w ON w.webhook_id = q.webhook_id
"""  # noqa: S608 - both halves are ours
WAITING = """
SELECT d.rowid, d.webhook_id, (
  SELECT length(e.body) FROM events AS e
  WHERE e.event_id = d.event_id AND e.environment_id = d.environment_id
)
FROM json_each(?1) AS w CROSS JOIN deliveries AS d ON d.rowid IN (
  SELECT rowid FROM deliveries INDEXED BY deliveries_waiting
  WHERE state = 'pending' AND worker IS NULL AND webhook_id = w.value AND due_at <= ?3
  ORDER BY due_at, delivery_id LIMIT ?2
)
ORDER BY w.key, d.due_at, d.delivery_id
"""
NEXT_DUE = """
SELECT min((
  SELECT due_at FROM deliveries INDEXED BY deliveries_waiting
  WHERE state = 'pending' AND worker IS NULL AND webhook_id = w.value AND due_at > ?2
  ORDER BY due_at LIMIT 1
)) FROM json_each(?1) AS w
"""
_BEGIN = """
UPDATE deliveries SET worker = ?2, leased_until = ?3, started_at = ?4, attempt = attempt + 1
WHERE rowid IN (SELECT value FROM json_each(?1))
"""
_BEGUN = """
SELECT d.delivery_id, d.environment_id, d.attempt, d.webhook_id, d.event_id, e.type, d.failures,
  e.body
FROM json_each(?1) AS h CROSS JOIN deliveries AS d ON d.rowid = h.value
CROSS JOIN events AS e ON e.event_id = d.event_id AND e.environment_id = d.environment_id
ORDER BY h.key
"""


async def look(connection: AsyncConnection, after: UUID | None, limit: int) -> Look:
    """Return the next webhooks by id that have waiting deliveries, without walking these."""
    rows = await fetch(connection, QUEUES, "" if after is None else after.hex, limit)
    # The scan ends with a row of nothing, unless the limit ends it before.
    return Look(rows[0][0], None, [_queue(row[1:]) for row in rows if row[1] is not None])


async def waiting(
    connection: AsyncConnection, webhook_ids: Sequence[UUID], share: int, now: datetime
) -> Sequence[Waiting]:
    """Return the first due deliveries of each webhook, at most ``share`` of one, in order."""
    by_hex = {webhook_id.hex: webhook_id for webhook_id in webhook_ids}
    rows = await fetch(connection, WAITING, as_json(by_hex), share, to_microseconds(now))
    return [Waiting(handle, by_hex[webhook], size or 0) for handle, webhook, size in rows]


async def begin(
    connection: AsyncConnection, handles: Sequence[int], lease: Lease, watched: Sequence[UUID]
) -> tuple[Sequence[ClaimedDelivery], datetime | None]:
    """Begin deliveries, in this order; tell when the next of the watched webhooks' is due."""
    assert lease.worker is not None  # noqa: S101 - for the type checker only
    until, begun_at = to_microseconds(lease.until), to_microseconds(lease.begun_at)
    chosen = as_json(handles)
    await run_many(connection, _BEGIN, [(chosen, lease.worker.hex, until, begun_at)])
    begun = [_begun(row, lease.worker) for row in await fetch(connection, _BEGUN, chosen)]
    return begun, await _next_due(connection, watched, begun_at) if watched else None


async def _next_due(
    connection: AsyncConnection, webhook_ids: Sequence[UUID], now: int
) -> datetime | None:
    ((due_at,),) = await fetch(connection, NEXT_DUE, as_json(one.hex for one in webhook_ids), now)
    return None if due_at is None else from_microseconds(due_at)


def _queue(row: RawRow) -> Queue:
    webhook_id, due_at, deleted, disabled_until = row
    return Queue(
        UUID(webhook_id),
        from_microseconds(due_at),
        bool(deleted),
        None if disabled_until is None else from_microseconds(disabled_until),
    )


def _begun(row: RawRow, worker: UUID) -> ClaimedDelivery:
    delivery_id, environment_id, attempt, webhook_id, event_id, event_type, failures, body = row
    return ClaimedDelivery(
        fence=Fence(UUID(delivery_id), UUID(environment_id), attempt, worker),
        webhook_id=UUID(webhook_id),
        event_id=event_id,
        event_type=event_type,
        failures=failures,
        body=body,
    )
