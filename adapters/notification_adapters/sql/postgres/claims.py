"""Claiming on PostgreSQL: which webhooks have waiting deliveries, taking a share of each queue.

Counting what waits, and ending what can no longer be claimed, go by the same queues. The partial
index ``deliveries_waiting`` (webhook, due) serves each statement, in its own order: what a claim
costs must depend on what it takes, never on how long the queues are.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import (
    CancelledDelivery,
    Deadlines,
    DeliveryCounts,
    Dialect,
    DueRow,
    FreshRow,
    Handle,
    Lease,
)
from notification_adapters.sql.postgres.driver import columns, fetch, run
from notification_adapters.sql.queues import Queue
from notification_core.concurrency.ids import earliest_id
from notification_core.model.circuit_breaker import ProbeSchedule
from notification_core.model.delivery import ClaimedDelivery, EndReason, Fence

_FIRST = UUID(int=0)
"""Comes before every webhook."""

_ALL: Final = 2**31 - 1

# A loose index scan of the webhooks after $1, at most $2, each with its first due time: one jump
# into the index a queue. Ordering by both columns leaves no other index to choose.
_LOOSE_SCAN = """
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
_QUEUES = f"""{_LOOSE_SCAN}
SELECT c.revision, now(), q.webhook_id, q.due_at, w.webhook_id IS NULL OR w.deleted_at IS NOT NULL,
  w.disabled_until, w.rate_limit, CASE WHEN w.rate_limit IS NOT NULL THEN (
    SELECT r.next_at FROM webhook_rates AS r
    WHERE r.webhook_id = w.webhook_id AND r.environment_id = w.environment_id
  ) END, h.paused_at, h.pause_us, h.next_probe_at, h.fresh_probe_at, h.probe_id,
  h.probe_until
FROM (SELECT revision FROM webhooks_revision LIMIT 1) AS c LEFT JOIN queue AS q ON true
LEFT JOIN webhooks AS w ON w.webhook_id = q.webhook_id
LEFT JOIN webhook_health AS h ON h.webhook_id = q.webhook_id AND h.paused_at IS NOT NULL
ORDER BY q.number
"""  # noqa: S608 - both halves are ours
_COUNTS = """
SELECT (
  SELECT count(*) FROM (
    SELECT 1 FROM deliveries WHERE state = 'pending' AND worker IS NULL LIMIT $1
  ) AS waiting
), (
  SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE worker IS NOT NULL LIMIT $1) AS claimed
)
"""
_DUE = """
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
_FRESH = """
SELECT d.delivery_id, d.environment_id, w.webhook_id, (
  SELECT octet_length(e.body) FROM events AS e
  WHERE e.event_id = d.event_id AND e.environment_id = d.environment_id
), d.created_at
FROM unnest($1::uuid[]) AS w (webhook_id) CROSS JOIN LATERAL (
  SELECT delivery_id FROM deliveries WHERE webhook_id = w.webhook_id
  ORDER BY webhook_id DESC, delivery_id DESC LIMIT $2
) AS latest
JOIN deliveries AS d ON d.delivery_id = latest.delivery_id
WHERE d.state = 'pending' AND d.worker IS NULL AND d.attempt = 0 AND d.due_at <= $3
ORDER BY d.delivery_id DESC
FOR UPDATE OF d SKIP LOCKED
"""
_CLAIM = """
WITH claimed AS (
  UPDATE deliveries AS d
  SET worker = $3, leased_until = $4, attempt = d.attempt + 1,
    started_at = CASE WHEN h.number <= $7::bigint THEN $5::timestamptz END
  FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS h (delivery_id, environment_id, number)
  WHERE d.delivery_id = h.delivery_id AND d.environment_id = h.environment_id
  RETURNING h.number, d.delivery_id, d.environment_id, d.attempt, d.webhook_id, d.event_id,
    d.failures, d.ordering_key
), later AS (
  SELECT min(d.due_at) AS due_at FROM unnest($6::uuid[]) AS w (webhook_id) CROSS JOIN LATERAL (
    SELECT due_at FROM deliveries
    WHERE state = 'pending' AND worker IS NULL AND webhook_id = w.webhook_id AND due_at > $5
    ORDER BY webhook_id, due_at LIMIT 1
  ) AS d
)
SELECT later.due_at, b.number, b.delivery_id, b.environment_id, b.attempt, b.webhook_id, b.event_id,
  e.type, b.failures, e.body, b.ordering_key
FROM later LEFT JOIN (
  claimed AS b
  JOIN events AS e ON e.event_id = b.event_id AND e.environment_id = b.environment_id
) ON true
ORDER BY b.number
"""
# As ``reason_to_end`` says, but for the age of the event.
_REASON = """CASE
  WHEN w.webhook_id IS NULL OR w.deleted_at IS NOT NULL THEN 'webhook_deleted'
  WHEN w.disabled_reason IS NOT NULL THEN 'webhook_disabled'
  WHEN w.disabled_until > $3 THEN 'expired'
  WHEN h.paused_at < $4 THEN 'webhook_paused'
END"""
_BLOCKED = f"""{_LOOSE_SCAN}
SELECT q.webhook_id FROM queue AS q LEFT JOIN webhooks AS w ON w.webhook_id = q.webhook_id
LEFT JOIN webhook_health AS h ON h.webhook_id = q.webhook_id
WHERE {_REASON} IS NOT NULL
"""  # noqa: S608 - all of it is ours
# Of queues that a user paused, the age of the events is compared inside the index, and of those
# that the circuit breaker did, that of the deliveries, which is in their ids.
_UNSENDABLE = f"""
WITH blocked (webhook_id, reason) AS MATERIALIZED (
  SELECT b.webhook_id, {_REASON}
  FROM unnest($1::uuid[]) AS b (webhook_id)
  LEFT JOIN webhooks AS w ON w.webhook_id = b.webhook_id
  LEFT JOIN webhook_health AS h ON h.webhook_id = b.webhook_id
)
SELECT d.delivery_id, d.environment_id, b.webhook_id, b.reason, d.event_id,
  CASE WHEN b.reason = 'webhook_paused' THEN (
    SELECT e.type FROM events AS e
    WHERE e.event_id = d.event_id AND e.environment_id = d.environment_id
  ) END, d.attempt
FROM blocked AS b CROSS JOIN LATERAL (
  SELECT delivery_id, environment_id, event_id, attempt FROM deliveries
  WHERE state = 'pending' AND worker IS NULL AND webhook_id = b.webhook_id
    AND event_stored_at < CASE WHEN b.reason = 'expired' THEN $5 ELSE 'infinity'::timestamptz END
    AND (b.reason <> 'webhook_paused' OR delivery_id < $6)
  ORDER BY webhook_id, due_at LIMIT $2
  FOR UPDATE SKIP LOCKED
) AS d
WHERE b.reason IS NOT NULL
LIMIT $2
"""  # noqa: S608 - the same
_WAITING_FOR = """
SELECT delivery_id, environment_id FROM deliveries
WHERE state = 'pending' AND worker IS NULL AND webhook_id = $1
ORDER BY webhook_id, due_at LIMIT $2
FOR UPDATE SKIP LOCKED
"""
_CANCEL = """
UPDATE deliveries AS d SET state = s.state, reason = s.reason, ended_at = $5
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
  AS s (delivery_id, environment_id, state, reason)
WHERE d.delivery_id = s.delivery_id AND d.environment_id = s.environment_id
"""
# All that is being attempted is little; a webhook's deliveries may be a million.
_CANCEL_CLAIMED = """
WITH claimed AS MATERIALIZED (
  SELECT delivery_id, environment_id, webhook_id FROM deliveries
  WHERE worker IS NOT NULL ORDER BY worker, leased_until
), theirs AS MATERIALIZED (
  SELECT delivery_id, environment_id FROM claimed WHERE webhook_id = $1 ORDER BY delivery_id
)
UPDATE deliveries AS d SET state = 'cancelled', reason = $3, ended_at = $2
FROM theirs AS t
WHERE d.delivery_id = t.delivery_id AND d.environment_id = t.environment_id
  AND d.worker IS NOT NULL AND d.state = 'pending'
RETURNING 1
"""


class PostgresClaimStatements(Dialect):
    """What PostgreSQL is asked of queues."""

    has_server_time: bool
    """Whether the storage's time is the server's."""

    async def scan_queues(
        self, connection: AsyncConnection, after: UUID | None, limit: int
    ) -> tuple[int, datetime, Sequence[Queue]]:
        """Return the webhooks' revision, the storage's time, and the next queues by webhook."""
        rows = await fetch(connection, _QUEUES, after or _FIRST, limit)
        webhooks_revision, server_time = rows[0][:2]
        now = server_time if self.has_server_time else await self.now(connection)
        return webhooks_revision, now, [_queue(*row[2:]) for row in rows if row[2] is not None]

    async def count_deliveries(self, connection: AsyncConnection, most: int) -> DeliveryCounts:
        """Return how many deliveries wait and how many are claimed, each at most ``most``."""
        ((waiting, claimed),) = await fetch(connection, _COUNTS, most)
        return DeliveryCounts(waiting, claimed)

    async def lock_due(
        self, connection: AsyncConnection, webhook_ids: Sequence[UUID], share: int, now: datetime
    ) -> Sequence[DueRow]:
        """Return and lock the first due deliveries of each webhook, at most ``share`` of one."""
        return [
            DueRow((delivery_id, environment_id), webhook_id, size or 0)
            for delivery_id, environment_id, webhook_id, size in (
                await fetch(connection, _DUE, webhook_ids, share, now)
            )
        ]

    async def lock_fresh(
        self, connection: AsyncConnection, webhook_ids: Sequence[UUID], most: int, now: datetime
    ) -> Sequence[FreshRow]:
        """Return and lock what waits of the latest deliveries of webhooks, the latest first."""
        return [
            FreshRow(DueRow((delivery_id, environment_id), webhook_id, size or 0), created_at)
            for delivery_id, environment_id, webhook_id, size, created_at in (
                await fetch(connection, _FRESH, webhook_ids, most, now)
            )
        ]

    async def claim(
        self,
        connection: AsyncConnection,
        handles: Sequence[Handle],
        begin_limit: int,
        lease: Lease,
        watched: Sequence[UUID],
    ) -> tuple[Sequence[ClaimedDelivery], datetime | None]:
        """Claim deliveries, in this order; tell when the next of the watched webhooks' is due."""
        worker = lease.worker
        assert worker is not None  # noqa: S101 - for the type checker only
        shared = worker, lease.until, lease.claimed_at, watched, begin_limit
        values = *columns(handles, 2), *shared
        rows = await fetch(connection, _CLAIM, *values)
        next_due: datetime | None = rows[0][0]
        claimed = []
        for _, number, delivery_id, environment_id, attempt, webhook_id, event_id, *rest in rows:
            if delivery_id is not None:
                event_type, failures, body, ordering_key = rest
                claimed.append(
                    ClaimedDelivery(
                        Fence(delivery_id, environment_id, attempt, worker),
                        webhook_id=webhook_id,
                        event_id=event_id,
                        event_type=event_type,
                        failures=failures,
                        body=body,
                        prefetched=number > begin_limit,
                        ordering_key=ordering_key,
                    )
                )
        return claimed, next_due

    async def blocked_webhooks(
        self, connection: AsyncConnection, deadlines: Deadlines
    ) -> Sequence[UUID]:
        """Return the webhooks that have waiting deliveries and may not be sent to."""
        times = deadlines.now, deadlines.held_before
        rows = await fetch(connection, _BLOCKED, _FIRST, _ALL, *times)
        return [webhook_id for (webhook_id,) in rows]

    async def lock_unsendable(
        self,
        connection: AsyncConnection,
        webhook_ids: Sequence[UUID],
        limit: int,
        deadlines: Deadlines,
    ) -> Sequence[CancelledDelivery]:
        """Return and lock waiting deliveries of these webhooks that can no longer be sent."""
        now, expired_before, held_before = deadlines
        held = earliest_id(held_before) if held_before else _FIRST
        times = now, held_before, expired_before, held
        rows = await fetch(connection, _UNSENDABLE, webhook_ids, limit, *times)
        return [
            CancelledDelivery.because(
                (delivery_id, environment_id),
                (environment_id, webhook_id),
                *(reason, delivery_id, *event, attempts),
            )
            for delivery_id, environment_id, webhook_id, reason, *event, attempts in rows
        ]

    async def lock_waiting(
        self, connection: AsyncConnection, webhook_id: UUID, limit: int
    ) -> Sequence[Handle]:
        """Return and lock waiting deliveries of one webhook, due or not."""
        return await fetch(connection, _WAITING_FOR, webhook_id, limit)

    async def cancel_unsendable(
        self, connection: AsyncConnection, cancelled: Sequence[CancelledDelivery], now: datetime
    ) -> None:
        """End waiting deliveries as they are said to end."""
        rows = [(*ended.handle, ended.state, ended.reason) for ended in cancelled]
        if rows:
            await run(connection, _CANCEL, *columns(rows, 4), now)

    async def cancel_claimed(
        self, connection: AsyncConnection, webhook_id: UUID, reason: EndReason, now: datetime
    ) -> int:
        """Cancel the pending deliveries of a webhook of which an attempt is being made."""
        return len(await fetch(connection, _CANCEL_CLAIMED, webhook_id, now, reason))


def _queue(  # noqa: PLR0913, PLR0917 - the columns of a row
    webhook_id: UUID,
    due_at: datetime,
    is_deleted: bool,  # noqa: FBT001 - the same
    disabled_until: datetime | None,
    rate_limit: int | None,
    next_at: datetime | None,
    paused_at: datetime | None,
    pause_us: int,
    *probes: Any,
) -> Queue:
    schedule = None
    if paused_at is not None:
        schedule = ProbeSchedule(paused_at, timedelta(microseconds=pause_us), *probes)
    return Queue(webhook_id, due_at, is_deleted, disabled_until, rate_limit, next_at, schedule)
