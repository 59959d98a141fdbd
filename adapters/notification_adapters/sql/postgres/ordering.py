"""Delivering in order on PostgreSQL: locking groups, and finding the first of each.

The partial index ``deliveries_in_line`` (webhook, key, position) serves each statement: the order
by its columns leaves the planner no other one to choose.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.ordering import FirstInGroup, GroupKey, OrderingStatements
from notification_adapters.sql.postgres.driver import columns, fetch, run
from notification_core.model.ordering import HELD_UNTIL, OrderingGroup

# An update, and not only a lock: a host's transaction whose view of the database is older than
# what others have left in the group fails then (40001), instead of taking the group for empty.
_LOCK: Final = """
INSERT INTO ordering_keys (webhook_id, ordering_key, environment_id)
SELECT webhook_id, ordering_key, environment_id
FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS k (webhook_id, ordering_key, environment_id)
ON CONFLICT (webhook_id, ordering_key, environment_id)
DO UPDATE SET environment_id = excluded.environment_id
"""
_FIRST: Final = """
SELECT k.webhook_id, k.ordering_key, d.*
FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS k (webhook_id, ordering_key, environment_id)
CROSS JOIN LATERAL (
  SELECT environment_id, delivery_id, position, state = 'pending', worker IS NOT NULL, due_at
  FROM deliveries
  WHERE webhook_id = k.webhook_id AND ordering_key = k.ordering_key
    AND environment_id = k.environment_id AND (state = 'pending' OR worker IS NOT NULL)
  ORDER BY webhook_id, ordering_key, position LIMIT 1
) AS d
"""
_POSITIONS: Final = "SELECT nextval('delivery_positions') FROM generate_series(1, $1::integer)"
_RELEASE: Final = """
UPDATE deliveries AS d SET due_at = $3
FROM unnest($1::uuid[], $2::uuid[]) AS h (delivery_id, environment_id)
WHERE d.delivery_id = h.delivery_id AND d.environment_id = h.environment_id
  AND d.state = 'pending' AND d.due_at = $4
"""
_NEXT: Final = """
    SELECT webhook_id, ordering_key, environment_id, delivery_id, position, state = 'pending',
      worker IS NOT NULL, due_at
    FROM deliveries
    WHERE ordering_key IS NOT NULL AND (state = 'pending' OR worker IS NOT NULL)
      AND (webhook_id, ordering_key) > (%s, %s)
    ORDER BY webhook_id, ordering_key, position LIMIT 1"""
# A loose index scan: one jump into the index a group.
_SCAN: Final = f"""
WITH RECURSIVE first (
  webhook_id, ordering_key, environment_id, delivery_id, position, is_pending, is_attempted, due_at,
  number
) AS (
  (SELECT d.*, 1 FROM ({_NEXT % ("$1::uuid", "$2::text")}) AS d)
  UNION ALL
  SELECT d.*, first.number + 1 FROM first CROSS JOIN LATERAL (
    {_NEXT % ("first.webhook_id", "first.ordering_key")}
  ) AS d
  WHERE first.number < $3
)
SELECT coalesce(w.ordered, false), first.* FROM first
LEFT JOIN webhooks AS w ON w.webhook_id = first.webhook_id
ORDER BY first.number
"""  # noqa: S608 - all of it is ours
_HELD_OF: Final = """
SELECT delivery_id, environment_id FROM deliveries
WHERE state = 'pending' AND worker IS NULL AND webhook_id = $1 AND due_at = $2
  AND NOT EXISTS (SELECT FROM webhooks AS w WHERE w.webhook_id = $1 AND w.ordered)
ORDER BY webhook_id, due_at, delivery_id LIMIT $3
FOR UPDATE SKIP LOCKED
"""
_EMPTY: Final = """
NOT EXISTS (
  SELECT FROM deliveries AS d
  WHERE d.webhook_id = k.webhook_id AND d.ordering_key = k.ordering_key
    AND (d.state = 'pending' OR d.worker IS NOT NULL)
)"""
_LOCK_EMPTY: Final = f"""
SELECT k.webhook_id, k.ordering_key, k.environment_id FROM ordering_keys AS k
WHERE {_EMPTY} LIMIT $1
FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - the same
# Looked at again: somebody may have joined the group until it was locked.
_FORGET: Final = f"""
DELETE FROM ordering_keys AS k
USING unnest($1::uuid[], $2::text[], $3::uuid[]) AS e (webhook_id, ordering_key, environment_id)
WHERE k.webhook_id = e.webhook_id AND k.ordering_key = e.ordering_key
  AND k.environment_id = e.environment_id AND {_EMPTY}
"""  # noqa: S608 - the same


class PostgresOrderingStatements(OrderingStatements):
    """What PostgreSQL is asked of groups."""

    async def lock_groups(self, connection: AsyncConnection, groups: Sequence[GroupKey]) -> None:
        """Lock groups until the transaction's end, in the order in which they are given."""
        if groups:
            await run(connection, _LOCK, *columns(groups, 3))

    async def first_in_groups(
        self, connection: AsyncConnection, groups: Sequence[GroupKey]
    ) -> Sequence[FirstInGroup]:
        """Return the first one of each group that is not empty."""
        return [_first(row) for row in await fetch(connection, _FIRST, *columns(groups, 3))]

    async def take_positions(self, connection: AsyncConnection, count: int) -> Sequence[int]:
        """Return so many positions of the sequence, rising."""
        return [position for (position,) in await fetch(connection, _POSITIONS, count)]

    async def release_held(
        self, connection: AsyncConnection, handles: Sequence[Any], now: datetime
    ) -> None:
        """Let those of these deliveries that are pending and held be due now."""
        if handles:
            await run(connection, _RELEASE, *columns(handles, 2), now, HELD_UNTIL)

    async def scan_groups(
        self, connection: AsyncConnection, after: OrderingGroup, limit: int
    ) -> Sequence[tuple[FirstInGroup, bool]]:
        """Return the first one of each of the next groups, and whether its webhook is ordered."""
        rows = await fetch(connection, _SCAN, *after, limit)
        return [(_first(row), is_ordered) for is_ordered, *row, _ in rows]

    async def lock_held_of(
        self, connection: AsyncConnection, webhook_id: UUID, limit: int
    ) -> Sequence[Any]:
        """Return and lock the handles of a webhook's held deliveries."""
        return await fetch(connection, _HELD_OF, webhook_id, HELD_UNTIL, limit)

    async def forget_empty_groups(self, connection: AsyncConnection, limit: int) -> int:
        """Delete the rows of groups that are empty; return how many were looked at."""
        empty = await fetch(connection, _LOCK_EMPTY, limit)
        if empty:
            await run(connection, _FORGET, *columns(empty, 3))
        return len(empty)


def _first(row: Sequence[Any]) -> FirstInGroup:
    webhook_id, ordering_key, environment_id, delivery_id, *rest = row
    group = OrderingGroup(webhook_id, ordering_key)
    return FirstInGroup(group, environment_id, (delivery_id, environment_id), *rest)
