"""Ending waiting deliveries that can no longer be sent."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import CancelledDelivery
from notification_adapters.sql.sqlite.claims import LOOSE_SCAN
from notification_adapters.sql.sqlite.driver import as_json, fetch, run_many
from notification_adapters.sql.tables import to_microseconds
from notification_core.model.delivery import EndReason

_ALL = 2**63 - 1

# As ``reason_to_end`` says, but for the age of the event.
_REASON = """CASE
  WHEN w.webhook_id IS NULL OR w.deleted_at IS NOT NULL THEN 'webhook_deleted'
  WHEN w.disabled_reason IS NOT NULL THEN 'webhook_disabled'
  WHEN w.disabled_until > ?3 THEN 'expired'
END"""
BLOCKED = f"""{LOOSE_SCAN}
SELECT q.webhook_id FROM queue AS q LEFT JOIN webhooks AS w ON w.webhook_id = q.webhook_id
WHERE q.webhook_id IS NOT NULL AND {_REASON} IS NOT NULL
"""  # noqa: S608 - all of it is ours
# Of queues that a user paused, the age of the events is compared inside the index.
UNSENDABLE = f"""
WITH blocked (webhook_id, reason) AS MATERIALIZED (
  SELECT b.value, {_REASON}
  FROM json_each(?1) AS b LEFT JOIN webhooks AS w ON w.webhook_id = b.value
)
SELECT d.rowid, b.reason
FROM blocked AS b CROSS JOIN deliveries AS d INDEXED BY deliveries_waiting
WHERE d.state = 'pending' AND d.worker IS NULL AND d.webhook_id = b.webhook_id
  AND b.reason IS NOT NULL AND (b.reason <> 'expired' OR d.event_stored_at < ?4)
LIMIT ?2
"""  # noqa: S608 - the same
_WAITING_OF = """
SELECT rowid FROM deliveries INDEXED BY deliveries_waiting
WHERE state = 'pending' AND worker IS NULL AND webhook_id = ? LIMIT ?
"""
_SETTLE = "UPDATE deliveries SET state = ?, reason = ?, ended_at = ? WHERE rowid = ?"
_CANCEL_BEGUN = """
UPDATE deliveries SET state = 'cancelled', reason = ?3, ended_at = ?2
WHERE rowid IN (
  SELECT d.rowid FROM deliveries AS d INDEXED BY deliveries_leased
  WHERE d.worker IS NOT NULL AND d.webhook_id = ?1 AND d.state = 'pending'
)
"""


async def blocked(connection: AsyncConnection, now: datetime) -> Sequence[UUID]:
    """Return the webhooks that have waiting deliveries and may not be sent to."""
    rows = await fetch(connection, BLOCKED, "", _ALL, to_microseconds(now))
    return [UUID(webhook_id) for (webhook_id,) in rows]


async def unsendable(
    connection: AsyncConnection,
    webhook_ids: Sequence[UUID],
    limit: int,
    now: datetime,
    expired_before: datetime,
) -> Sequence[CancelledDelivery]:
    """Return waiting deliveries of these webhooks that can no longer be sent, and how each ends."""
    times = to_microseconds(now), to_microseconds(expired_before)
    queues = as_json(one.hex for one in webhook_ids)
    rows = await fetch(connection, UNSENDABLE, queues, limit, *times)
    return [CancelledDelivery.because(handle, reason) for handle, reason in rows]


async def waiting_of(connection: AsyncConnection, webhook_id: UUID, limit: int) -> Sequence[int]:
    """Return waiting deliveries of one webhook, due or not."""
    return [handle for (handle,) in await fetch(connection, _WAITING_OF, webhook_id.hex, limit)]


async def settle(
    connection: AsyncConnection, settled: Sequence[CancelledDelivery], now: datetime
) -> None:
    """End waiting deliveries as they are said to end."""
    ended_at = to_microseconds(now)
    rows = [(state.value, reason.value, ended_at, handle) for handle, state, reason in settled]
    await run_many(connection, _SETTLE, rows)


async def cancel_begun(
    connection: AsyncConnection, webhook_id: UUID, reason: EndReason, now: datetime
) -> None:
    """Cancel the pending deliveries of a webhook of which an attempt is being made."""
    await fetch(connection, _CANCEL_BEGUN, webhook_id.hex, to_microseconds(now), reason.value)
