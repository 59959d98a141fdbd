"""Claiming on SQLite: which webhooks have waiting deliveries, taking a share of each queue.

Counting what waits, and ending what can no longer be claimed, go by the same queues. The partial
index ``deliveries_waiting`` (webhook, due) is named in each statement, so that a changed plan is an
error and not a slow day: what a claim costs must depend on what it takes, never on how long the
queues are.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
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
from notification_adapters.sql.instants import MICROSECOND, from_microseconds, to_microseconds
from notification_adapters.sql.queues import Queue
from notification_adapters.sql.sqlite.driver import Value, as_json, fetch, run_many
from notification_core.concurrency.ids import earliest_id
from notification_core.model.circuit_breaker import ProbeSchedule
from notification_core.model.delivery import ClaimedDelivery, EndReason, Fence

_ALL: Final = 2**63 - 1

# A loose index scan of the webhooks after ?1, at most ?2: SQLite jumps from queue to queue
# instead of reading every row.
_LOOSE_SCAN = """
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
QUEUES = f"""{_LOOSE_SCAN}
SELECT c.revision, q.webhook_id, (
  SELECT due_at FROM deliveries INDEXED BY deliveries_waiting
  WHERE state = 'pending' AND worker IS NULL AND webhook_id = q.webhook_id
  ORDER BY due_at LIMIT 1
), w.webhook_id IS NULL OR w.deleted_at IS NOT NULL, w.disabled_until, w.rate_limit,
  CASE WHEN w.rate_limit IS NOT NULL THEN (
    SELECT r.next_at FROM webhook_rates AS r
    WHERE r.webhook_id = w.webhook_id AND r.environment_id = w.environment_id
  ) END, h.paused_at, h.pause_us, h.next_probe_at, h.fresh_probe_at, h.probe_id, h.probe_until
FROM webhooks_revision AS c CROSS JOIN queue AS q
LEFT JOIN webhooks AS w ON w.webhook_id = q.webhook_id
LEFT JOIN webhook_health AS h ON h.webhook_id = q.webhook_id AND h.paused_at IS NOT NULL
"""  # noqa: S608 - both halves are ours
_COUNTS = """
SELECT (
  SELECT count(*) FROM (
    SELECT 1 FROM deliveries INDEXED BY deliveries_waiting
    WHERE state = 'pending' AND worker IS NULL LIMIT ?1
  )
), (
  SELECT count(*) FROM (
    SELECT 1 FROM deliveries INDEXED BY deliveries_leased WHERE worker IS NOT NULL LIMIT ?1
  )
)
"""
DUE = """
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
FRESH = """
SELECT d.rowid, d.webhook_id, (
  SELECT length(e.body) FROM events AS e
  WHERE e.event_id = d.event_id AND e.environment_id = d.environment_id
), d.created_at
FROM json_each(?1) AS w CROSS JOIN deliveries AS d ON d.rowid IN (
  SELECT rowid FROM deliveries INDEXED BY deliveries_webhook WHERE webhook_id = w.value
  ORDER BY delivery_id DESC LIMIT ?2
)
WHERE d.state = 'pending' AND d.worker IS NULL AND d.attempt = 0 AND d.due_at <= ?3
ORDER BY d.delivery_id DESC
"""
_CLAIM = """
UPDATE deliveries SET worker = ?2, leased_until = ?3, started_at = ?4, attempt = attempt + 1
WHERE rowid IN (SELECT value FROM json_each(?1))
"""
_CLAIMED = """
SELECT h.key, d.delivery_id, d.environment_id, d.attempt, d.webhook_id, d.event_id, e.type,
  d.failures, e.body, d.ordering_key
FROM json_each(?1) AS h CROSS JOIN deliveries AS d ON d.rowid = h.value
CROSS JOIN events AS e ON e.event_id = d.event_id AND e.environment_id = d.environment_id
ORDER BY h.key
"""
NEXT_DUE = """
SELECT min((
  SELECT due_at FROM deliveries INDEXED BY deliveries_waiting
  WHERE state = 'pending' AND worker IS NULL AND webhook_id = w.value AND due_at > ?2
  ORDER BY due_at LIMIT 1
)) FROM json_each(?1) AS w
"""
# As ``reason_to_end`` says, but for the age of the event.
_REASON = """CASE
  WHEN w.webhook_id IS NULL OR w.deleted_at IS NOT NULL THEN 'webhook_deleted'
  WHEN w.disabled_reason IS NOT NULL THEN 'webhook_disabled'
  WHEN w.disabled_until > ?3 THEN 'expired'
  WHEN h.paused_at < ?4 THEN 'webhook_paused'
END"""
BLOCKED = f"""{_LOOSE_SCAN}
SELECT q.webhook_id FROM queue AS q LEFT JOIN webhooks AS w ON w.webhook_id = q.webhook_id
LEFT JOIN webhook_health AS h ON h.webhook_id = q.webhook_id
WHERE q.webhook_id IS NOT NULL AND {_REASON} IS NOT NULL
"""  # noqa: S608 - all of it is ours
# Of queues that a user paused, the age of the events is compared inside the index, and of those
# that the circuit breaker did, that of the deliveries, which is in their ids.
UNSENDABLE = f"""
WITH blocked (webhook_id, reason) AS MATERIALIZED (
  SELECT b.value, {_REASON}
  FROM json_each(?1) AS b LEFT JOIN webhooks AS w ON w.webhook_id = b.value
  LEFT JOIN webhook_health AS h ON h.webhook_id = b.value
)
SELECT d.rowid, d.environment_id, b.webhook_id, b.reason, d.delivery_id, d.event_id,
  CASE WHEN b.reason = 'webhook_paused' THEN (
    SELECT e.type FROM events AS e
    WHERE e.event_id = d.event_id AND e.environment_id = d.environment_id
  ) END, d.attempt
FROM blocked AS b CROSS JOIN deliveries AS d INDEXED BY deliveries_waiting
WHERE d.state = 'pending' AND d.worker IS NULL AND d.webhook_id = b.webhook_id
  AND b.reason IS NOT NULL AND (b.reason <> 'expired' OR d.event_stored_at < ?5)
  AND (b.reason <> 'webhook_paused' OR d.delivery_id < ?6)
LIMIT ?2
"""  # noqa: S608 - the same
_WAITING_FOR = """
SELECT rowid FROM deliveries INDEXED BY deliveries_waiting
WHERE state = 'pending' AND worker IS NULL AND webhook_id = ? LIMIT ?
"""
_CANCEL = "UPDATE deliveries SET state = ?, reason = ?, ended_at = ? WHERE rowid = ?"
_CANCEL_CLAIMED = """
UPDATE deliveries SET state = 'cancelled', reason = ?3, ended_at = ?2
WHERE rowid IN (
  SELECT d.rowid FROM deliveries AS d INDEXED BY deliveries_leased
  WHERE d.worker IS NOT NULL AND d.webhook_id = ?1 AND d.state = 'pending'
)
RETURNING 1
"""


class SqliteClaimStatements(Dialect):
    """What SQLite is asked of queues."""

    async def scan_queues(
        self, connection: AsyncConnection, after: UUID | None, limit: int
    ) -> tuple[int, datetime, Sequence[Queue]]:
        """Return the webhooks' revision, the clock's time, and the next queues by webhook."""
        rows = await fetch(connection, QUEUES, "" if after is None else after.hex, limit)
        queues = [
            Queue(
                UUID(webhook_id),
                from_microseconds(due_at),
                bool(is_deleted),
                None if disabled_until is None else from_microseconds(disabled_until),
                rate_limit,
                None if next_at is None else from_microseconds(next_at),
                None if probes[0] is None else _schedule(*probes),
            )
            for _, webhook_id, due_at, is_deleted, disabled_until, *limits in rows
            # The scan ends with a row of nothing, unless the limit ends it before.
            if webhook_id is not None
            for rate_limit, next_at, *probes in [limits]
        ]
        return rows[0][0], await self.now(connection), queues

    async def count_deliveries(self, connection: AsyncConnection, most: int) -> DeliveryCounts:
        """Return how many deliveries wait and how many are claimed, each at most ``most``."""
        ((waiting, claimed),) = await fetch(connection, _COUNTS, most)
        return DeliveryCounts(waiting, claimed)

    async def lock_due(
        self, connection: AsyncConnection, webhook_ids: Sequence[UUID], share: int, now: datetime
    ) -> Sequence[DueRow]:
        """Return the first due deliveries of each webhook, at most ``share`` of one, in order."""
        by_hex = {webhook_id.hex: webhook_id for webhook_id in webhook_ids}
        rows = await fetch(connection, DUE, as_json(by_hex), share, to_microseconds(now))
        return [DueRow(handle, by_hex[webhook], size or 0) for handle, webhook, size in rows]

    async def lock_fresh(
        self, connection: AsyncConnection, webhook_ids: Sequence[UUID], most: int, now: datetime
    ) -> Sequence[FreshRow]:
        """Return what waits of the latest deliveries of webhooks, the latest first."""
        by_hex = {webhook_id.hex: webhook_id for webhook_id in webhook_ids}
        rows = await fetch(connection, FRESH, as_json(by_hex), most, to_microseconds(now))
        return [
            FreshRow(DueRow(handle, by_hex[webhook], size or 0), from_microseconds(created_at))
            for handle, webhook, size, created_at in rows
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
        until, claimed_at = to_microseconds(lease.until), to_microseconds(lease.claimed_at)
        chosen, begun = as_json(handles), as_json(handles[:begin_limit])
        values: list[Sequence[Value]] = [(begun, worker.hex, until, claimed_at)]
        if prefetched := handles[begin_limit:]:
            values.append((as_json(prefetched), worker.hex, until, None))
        await run_many(connection, _CLAIM, values)
        claimed = []
        for place, delivery, environment, attempt, *rest in await fetch(
            connection, _CLAIMED, chosen
        ):
            webhook, event_id, event_type, failures, body, ordering_key = rest
            claimed.append(
                ClaimedDelivery(
                    Fence(UUID(delivery), UUID(environment), attempt, worker),
                    webhook_id=UUID(webhook),
                    event_id=event_id,
                    event_type=event_type,
                    failures=failures,
                    body=body,
                    prefetched=place >= begin_limit,
                    ordering_key=ordering_key,
                )
            )
        if not watched:
            return claimed, None
        webhook_ids = as_json(webhook_id.hex for webhook_id in watched)
        ((due_at,),) = await fetch(connection, NEXT_DUE, webhook_ids, claimed_at)
        return claimed, None if due_at is None else from_microseconds(due_at)

    async def blocked_webhooks(
        self, connection: AsyncConnection, deadlines: Deadlines
    ) -> Sequence[UUID]:
        """Return the webhooks that have waiting deliveries and may not be sent to."""
        rows = await fetch(connection, BLOCKED, "", _ALL, *_times(deadlines)[:2])
        return [UUID(webhook_id) for (webhook_id,) in rows]

    async def lock_unsendable(
        self,
        connection: AsyncConnection,
        webhook_ids: Sequence[UUID],
        limit: int,
        deadlines: Deadlines,
    ) -> Sequence[CancelledDelivery]:
        """Return waiting deliveries of these webhooks that can no longer be sent, with reasons."""
        queues = as_json(webhook_id.hex for webhook_id in webhook_ids)
        rows = await fetch(connection, UNSENDABLE, queues, limit, *_times(deadlines))
        return [
            CancelledDelivery.because(
                handle,
                (UUID(environment_id), UUID(webhook_id)),
                *(reason, UUID(delivery_id), *event, attempts),
            )
            for handle, environment_id, webhook_id, reason, delivery_id, *event, attempts in rows
        ]

    async def lock_waiting(
        self, connection: AsyncConnection, webhook_id: UUID, limit: int
    ) -> Sequence[Handle]:
        """Return waiting deliveries of one webhook, due or not."""
        rows = await fetch(connection, _WAITING_FOR, webhook_id.hex, limit)
        return [handle for (handle,) in rows]

    async def cancel_unsendable(
        self, connection: AsyncConnection, cancelled: Sequence[CancelledDelivery], now: datetime
    ) -> None:
        """End waiting deliveries as they are said to end."""
        ended_at = to_microseconds(now)
        rows = [
            (ended.state.value, ended.reason.value, ended_at, ended.handle) for ended in cancelled
        ]
        await run_many(connection, _CANCEL, rows)

    async def cancel_claimed(
        self, connection: AsyncConnection, webhook_id: UUID, reason: EndReason, now: datetime
    ) -> int:
        """Cancel the pending deliveries of a webhook of which an attempt is being made."""
        values = webhook_id.hex, to_microseconds(now), reason.value
        return len(await fetch(connection, _CANCEL_CLAIMED, *values))


def _times(deadlines: Deadlines) -> tuple[int, int | None, int, str]:
    now, expired_before, held_before = deadlines
    held = None if held_before is None else to_microseconds(held_before)
    held_id = "" if held_before is None else earliest_id(held_before).hex
    return to_microseconds(now), held, to_microseconds(expired_before), held_id


def _schedule(  # noqa: PLR0913, PLR0917 - the columns of a row
    paused_at: int,
    pause_us: int,
    next_probe_at: int,
    fresh_probe_at: int,
    probe_id: str | None,
    probe_until: int | None,
) -> ProbeSchedule:
    return ProbeSchedule(
        from_microseconds(paused_at),
        pause_us * MICROSECOND,
        from_microseconds(next_probe_at),
        from_microseconds(fresh_probe_at),
        None if probe_id is None else UUID(probe_id),
        None if probe_until is None else from_microseconds(probe_until),
    )
