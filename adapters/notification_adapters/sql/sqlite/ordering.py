"""Delivering in order on SQLite: finding the first of each group, by ``deliveries_in_line``.

There is one writer, so that nothing has to be locked.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.instants import from_microseconds, to_microseconds
from notification_adapters.sql.ordering import FirstInGroup, GroupKey, OrderingStatements
from notification_adapters.sql.sqlite.driver import as_json, fetch, run_many
from notification_core.model.ordering import HELD_UNTIL, OrderingGroup

_HELD: Final = to_microseconds(HELD_UNTIL)

_COLUMNS: Final = """d.webhook_id, d.ordering_key, d.environment_id, d.rowid, d.position,
  d.state = 'pending', d.worker IS NOT NULL, d.due_at"""
FIRST: Final = f"""
SELECT {_COLUMNS} FROM json_each(?) AS k CROSS JOIN deliveries AS d ON d.rowid = (
  SELECT rowid FROM deliveries INDEXED BY deliveries_in_line
  WHERE ordering_key IS NOT NULL AND (state = 'pending' OR worker IS NOT NULL)
    AND webhook_id = json_extract(k.value, '$[0]')
    AND ordering_key = json_extract(k.value, '$[1]')
    AND environment_id = json_extract(k.value, '$[2]')
  ORDER BY position LIMIT 1
)
"""  # noqa: S608 - the columns' names are ours
_POSITIONS: Final = """
UPDATE instance SET last_position = last_position + ? RETURNING last_position
"""
_RELEASE: Final = """
UPDATE deliveries SET due_at = ? WHERE rowid = ? AND state = 'pending' AND due_at = ?
"""
# A loose index scan: SQLite jumps from group to group.
SCAN: Final = f"""
WITH RECURSIVE first (handle, number) AS (
  SELECT (
    SELECT rowid FROM deliveries INDEXED BY deliveries_in_line
    WHERE ordering_key IS NOT NULL AND (state = 'pending' OR worker IS NOT NULL)
      AND (webhook_id, ordering_key) > (?1, ?2)
    ORDER BY webhook_id, ordering_key, position LIMIT 1
  ), 1
  UNION ALL
  SELECT (
    SELECT rowid FROM deliveries INDEXED BY deliveries_in_line
    WHERE ordering_key IS NOT NULL AND (state = 'pending' OR worker IS NOT NULL)
      AND (webhook_id, ordering_key) > (c.webhook_id, c.ordering_key)
    ORDER BY webhook_id, ordering_key, position LIMIT 1
  ), first.number + 1
  FROM first CROSS JOIN deliveries AS c ON c.rowid = first.handle WHERE first.number < ?3
)
SELECT coalesce(w.ordered, 0), {_COLUMNS} FROM first
CROSS JOIN deliveries AS d ON d.rowid = first.handle
LEFT JOIN webhooks AS w ON w.webhook_id = d.webhook_id
ORDER BY first.number
"""  # noqa: S608 - the same
_HELD_OF: Final = """
SELECT rowid FROM deliveries INDEXED BY deliveries_waiting
WHERE state = 'pending' AND worker IS NULL AND webhook_id = ?1 AND due_at = ?2
  AND NOT EXISTS (SELECT 1 FROM webhooks AS w WHERE w.webhook_id = ?1 AND w.ordered)
LIMIT ?3
"""


class SqliteOrderingStatements(OrderingStatements):
    """What SQLite is asked of groups."""

    async def lock_groups(self, connection: AsyncConnection, groups: Sequence[GroupKey]) -> None:
        """Do nothing: nobody else writes."""

    async def first_in_groups(
        self, connection: AsyncConnection, groups: Sequence[GroupKey]
    ) -> Sequence[FirstInGroup]:
        """Return the first one of each group that is not empty."""
        keys = as_json((webhook.hex, key, environment.hex) for webhook, key, environment in groups)
        return [_first(row) for row in await fetch(connection, FIRST, keys)]

    async def take_positions(self, connection: AsyncConnection, count: int) -> Sequence[int]:
        """Return the next positions of all."""
        ((last,),) = await fetch(connection, _POSITIONS, count)
        return range(last - count + 1, last + 1)

    async def release_held(
        self, connection: AsyncConnection, handles: Sequence[Any], now: datetime
    ) -> None:
        """Let those of these deliveries that are pending and held be due now."""
        due_at = to_microseconds(now)
        await run_many(connection, _RELEASE, [(due_at, handle, _HELD) for handle in handles])

    async def scan_groups(
        self, connection: AsyncConnection, after: OrderingGroup, limit: int
    ) -> Sequence[tuple[FirstInGroup, bool]]:
        """Return the first one of each of the next groups, and whether its webhook is ordered."""
        rows = await fetch(connection, SCAN, after.webhook_id.hex, after.ordering_key, limit)
        return [(_first(row), bool(is_ordered)) for is_ordered, *row in rows]

    async def lock_held_of(
        self, connection: AsyncConnection, webhook_id: UUID, limit: int
    ) -> Sequence[Any]:
        """Return the handles of a webhook's held deliveries."""
        rows = await fetch(connection, _HELD_OF, webhook_id.hex, _HELD, limit)
        return [handle for (handle,) in rows]

    async def forget_empty_groups(self, connection: AsyncConnection, limit: int) -> int:  # noqa: ARG002 - there are none
        """Return 0: groups have no rows here."""
        return 0


def _first(row: Sequence[Any]) -> FirstInGroup:
    webhook_id, ordering_key, environment_id, handle, position, *flags, due_at = row
    is_pending, is_attempted = map(bool, flags)
    return FirstInGroup(
        OrderingGroup(UUID(webhook_id), ordering_key),
        UUID(environment_id),
        handle,
        position,
        is_pending,
        is_attempted,
        from_microseconds(due_at),
    )
