"""Ending waiting deliveries that can no longer be sent."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import CancelledDelivery, Handle
from notification_adapters.sql.postgres.claims import FIRST, LOOSE_SCAN
from notification_adapters.sql.postgres.driver import columns, fetch, run
from notification_core.model.delivery import EndReason

_ALL = 2**31 - 1

# As ``reason_to_end`` says, but for the age of the event.
_REASON = """CASE
  WHEN w.webhook_id IS NULL OR w.deleted_at IS NOT NULL THEN 'webhook_deleted'
  WHEN w.disabled_reason IS NOT NULL THEN 'webhook_disabled'
  WHEN w.disabled_until > $3 THEN 'expired'
END"""
BLOCKED = f"""{LOOSE_SCAN}
SELECT q.webhook_id FROM queue AS q LEFT JOIN webhooks AS w ON w.webhook_id = q.webhook_id
WHERE {_REASON} IS NOT NULL
"""  # noqa: S608 - all of it is ours
# Of queues that a user paused, the age of the events is compared inside the index.
UNSENDABLE = f"""
WITH blocked (webhook_id, reason) AS MATERIALIZED (
  SELECT b.webhook_id, {_REASON}
  FROM unnest($1::uuid[]) AS b (webhook_id)
  LEFT JOIN webhooks AS w ON w.webhook_id = b.webhook_id
)
SELECT d.delivery_id, d.environment_id, b.reason
FROM blocked AS b CROSS JOIN LATERAL (
  SELECT delivery_id, environment_id FROM deliveries
  WHERE state = 'pending' AND worker IS NULL AND webhook_id = b.webhook_id
    AND event_stored_at < CASE WHEN b.reason = 'expired' THEN $4 ELSE 'infinity'::timestamptz END
  ORDER BY webhook_id, due_at LIMIT $2
  FOR UPDATE SKIP LOCKED
) AS d
WHERE b.reason IS NOT NULL
LIMIT $2
"""  # noqa: S608 - the same
WAITING_OF = """
SELECT delivery_id, environment_id FROM deliveries
WHERE state = 'pending' AND worker IS NULL AND webhook_id = $1
ORDER BY webhook_id, due_at LIMIT $2
FOR UPDATE SKIP LOCKED
"""
SETTLE = """
UPDATE deliveries AS d SET state = s.state, reason = s.reason, ended_at = $5
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
  AS s (delivery_id, environment_id, state, reason)
WHERE d.delivery_id = s.delivery_id AND d.environment_id = s.environment_id
"""
# All that is being attempted is little; a webhook's deliveries may be a million.
CANCEL_BEGUN = """
WITH begun AS MATERIALIZED (
  SELECT delivery_id, environment_id, webhook_id FROM deliveries
  WHERE worker IS NOT NULL ORDER BY worker, leased_until
), theirs AS MATERIALIZED (
  SELECT delivery_id, environment_id FROM begun WHERE webhook_id = $1 ORDER BY delivery_id
)
UPDATE deliveries AS d SET state = 'cancelled', reason = $3, ended_at = $2
FROM theirs AS t
WHERE d.delivery_id = t.delivery_id AND d.environment_id = t.environment_id
  AND d.worker IS NOT NULL AND d.state = 'pending'
"""


async def blocked(connection: AsyncConnection, now: datetime) -> Sequence[UUID]:
    """Return the webhooks that have waiting deliveries and may not be sent to."""
    return [webhook_id for (webhook_id,) in await fetch(connection, BLOCKED, FIRST, _ALL, now)]


async def unsendable(
    connection: AsyncConnection,
    webhook_ids: Sequence[UUID],
    limit: int,
    now: datetime,
    expired_before: datetime,
) -> Sequence[CancelledDelivery]:
    """Return and lock waiting deliveries of these webhooks that can no longer be sent."""
    rows = await fetch(connection, UNSENDABLE, webhook_ids, limit, now, expired_before)
    return [
        CancelledDelivery.because((one, environment), reason) for one, environment, reason in rows
    ]


async def waiting_of(connection: AsyncConnection, webhook_id: UUID, limit: int) -> Sequence[Handle]:
    """Return and lock waiting deliveries of one webhook, due or not."""
    return await fetch(connection, WAITING_OF, webhook_id, limit)


async def settle(
    connection: AsyncConnection, settled: Sequence[CancelledDelivery], now: datetime
) -> None:
    """End waiting deliveries as they are said to end."""
    rows = [(*handle, state, reason) for handle, state, reason in settled]
    if rows:
        await run(connection, SETTLE, *columns(rows, 4), now)


async def cancel_begun(
    connection: AsyncConnection, webhook_id: UUID, reason: EndReason, now: datetime
) -> None:
    """Cancel the pending deliveries of a webhook of which an attempt is being made."""
    await run(connection, CANCEL_BEGUN, webhook_id, now, reason)
