"""Claiming: which webhooks have waiting deliveries, and taking a share of each queue.

The partial index ``deliveries_waiting`` (webhook, due) serves each statement, in its own order:
what a claim costs must depend on what it takes, never on how long the queues are.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Handle, Lease, Look, Queue, RawRow, Waiting
from notification_adapters.sql.postgres.driver import columns, fetch
from notification_core.model.delivery import ClaimedDelivery, Fence

FIRST = UUID(int=0)
"""Comes before every webhook."""

# A loose index scan of the webhooks after $1, at most $2, each with its first due time: one jump
# into the index a queue. Ordering by both columns leaves no other index to choose.
LOOSE_SCAN = """
WITH RECURSIVE queue (webhook_id, due_at, number) AS (
  (
    SELECT webhook_id, due_at, 1 FROM deliveries
    WHERE state = 'pending' AND worker IS NULL AND webhook_id > $1
    ORDER BY webhook_id, due_at LIMIT 1
  )
  UNION ALL
  SELECT d.webhook_id, d.due_at, queue.number + 1
  FROM queue CROSS JOIN LATERAL (
    SELECT webhook_id, due_at FROM deliveries
    WHERE state = 'pending' AND worker IS NULL AND webhook_id > queue.webhook_id
    ORDER BY webhook_id, due_at LIMIT 1
  ) AS d
  WHERE queue.number < $2
)"""
QUEUES = f"""{LOOSE_SCAN}
SELECT c.number, now(), q.webhook_id, q.due_at, w.webhook_id IS NULL OR w.deleted_at IS NOT NULL,
  w.disabled_until
FROM (SELECT number FROM changes LIMIT 1) AS c LEFT JOIN queue AS q ON true
LEFT JOIN webhooks AS w ON w.webhook_id = q.webhook_id
ORDER BY q.number
"""  # noqa: S608 - both halves are ours
WAITING = """
SELECT d.delivery_id, d.environment_id, w.webhook_id, (
  SELECT octet_length(e.body) FROM events AS e
  WHERE e.event_id = d.event_id AND e.environment_id = d.environment_id
)
FROM unnest($1::uuid[]) WITH ORDINALITY AS w (webhook_id, number) CROSS JOIN LATERAL (
  SELECT delivery_id, environment_id, event_id, due_at FROM deliveries
  WHERE state = 'pending' AND worker IS NULL AND webhook_id = w.webhook_id AND due_at <= $3
  ORDER BY webhook_id, due_at, delivery_id LIMIT $2
  FOR UPDATE SKIP LOCKED
) AS d
ORDER BY w.number, d.due_at, d.delivery_id
"""
BEGIN = """
WITH begun AS (
  UPDATE deliveries AS d
  SET worker = $3, leased_until = $4, started_at = $5, attempt = d.attempt + 1
  FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS h (delivery_id, environment_id, number)
  WHERE d.delivery_id = h.delivery_id AND d.environment_id = h.environment_id
  RETURNING h.number, d.delivery_id, d.environment_id, d.attempt, d.webhook_id, d.event_id,
    d.failures
), later AS (
  SELECT min(d.due_at) AS due_at FROM unnest($6::uuid[]) AS w (webhook_id) CROSS JOIN LATERAL (
    SELECT due_at FROM deliveries
    WHERE state = 'pending' AND worker IS NULL AND webhook_id = w.webhook_id AND due_at > $5
    ORDER BY webhook_id, due_at LIMIT 1
  ) AS d
)
SELECT later.due_at, b.delivery_id, b.environment_id, b.attempt, b.webhook_id, b.event_id, e.type,
  b.failures, e.body
FROM later LEFT JOIN (
  begun AS b
  JOIN events AS e ON e.event_id = b.event_id AND e.environment_id = b.environment_id
) ON true
ORDER BY b.number
"""


async def look(connection: AsyncConnection, after: UUID | None, limit: int) -> Look:
    """Return the next webhooks by id that have waiting deliveries, without walking these."""
    rows = await fetch(connection, QUEUES, after or FIRST, limit)
    changes, now = rows[0][:2]
    return Look(changes, now, [Queue(*row[2:]) for row in rows if row[2] is not None])


async def waiting(
    connection: AsyncConnection, webhook_ids: Sequence[UUID], share: int, now: datetime
) -> Sequence[Waiting]:
    """Return and lock the first due deliveries of each webhook, at most ``share`` of one."""
    rows = await fetch(connection, WAITING, webhook_ids, share, now)
    return [
        Waiting((one, environment), webhook, size or 0) for one, environment, webhook, size in rows
    ]


async def begin(
    connection: AsyncConnection, handles: Sequence[Handle], lease: Lease, watched: Sequence[UUID]
) -> tuple[Sequence[ClaimedDelivery], datetime | None]:
    """Begin deliveries, in this order; tell when the next of the watched webhooks' is due."""
    assert lease.worker is not None  # noqa: S101 - for the type checker only
    values = *columns(handles, 2), lease.worker, lease.until, lease.begun_at, watched
    rows = await fetch(connection, BEGIN, *values)
    next_due: datetime | None = rows[0][0]
    return [_begun(row[1:], lease.worker) for row in rows if row[1] is not None], next_due


def _begun(row: RawRow, worker: UUID) -> ClaimedDelivery:
    delivery_id, environment_id, attempt, webhook_id, event_id, event_type, failures, body = row
    return ClaimedDelivery(
        fence=Fence(delivery_id, environment_id, attempt, worker),
        webhook_id=webhook_id,
        event_id=event_id,
        event_type=event_type,
        failures=failures,
        body=body,
    )
