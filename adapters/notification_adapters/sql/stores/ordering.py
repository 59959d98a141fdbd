"""Delivering in order, on SQL: joining a group, and releasing the one that has become its first.

Whoever adds deliveries to groups, or ends some by results, locks these groups first, in the order
of their keys, and deliveries afterwards: so nobody waits in a ring, and positions rise in the order
of the commits. What ends deliveries that it has locked before it knows their groups, as reaping and
cancelling do, leaves the release to :func:`release_next`, which is called after its commit.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import Dialect
from notification_adapters.sql.ordering import GroupKey
from notification_adapters.sql.tables import deliveries
from notification_core.model.delivery import AttemptResult, NewDelivery
from notification_core.model.ordering import OrderingGroup, due_on_joining, is_to_release
from notification_core.ports.deliveries import ReleasedGroups

_ADD = sa.insert(deliveries)

Row = Mapping[str, Any]
"""A delivery's row, by the names of its columns."""


async def join(connection: AsyncConnection, dialect: Dialect, rows: Sequence[Row]) -> None:
    """Insert deliveries, which have ordering keys, at the ends of their groups in this order.

    What the rows lack are their positions; their ``due_at`` is when the first of a group is due.
    """
    if not rows:
        return
    groups = [(row["webhook_id"], row["ordering_key"], row["environment_id"]) for row in rows]
    wanted = sorted({*groups})
    await dialect.lock_groups(connection, wanted)
    firsts = await dialect.first_in_groups(connection, wanted)
    taken = {(*first.group, first.environment_id) for first in firsts}
    positions = await dialect.take_positions(connection, len(rows))
    added = []
    for group, row, position in zip(groups, rows, positions, strict=True):
        due_at = due_on_joining(row["due_at"], is_group_empty=group not in taken)
        added.append({**row, "due_at": due_at, "position": position})
        taken.add(group)
    await connection.execute(_ADD, added)


async def add(connection: AsyncConnection, dialect: Dialect, rows: Sequence[Row]) -> None:
    """Insert deliveries: those that have an ordering key at the ends of their groups."""
    if plain := [row for row in rows if row["ordering_key"] is None]:
        await connection.execute(_ADD, plain)
    await join(connection, dialect, [row for row in rows if row["ordering_key"] is not None])


def new_row(delivery: NewDelivery, now: datetime) -> Row:
    """Return the row of a delivery that its event makes now."""
    return {
        "delivery_id": delivery.delivery_id,
        "environment_id": delivery.environment_id,
        "webhook_id": delivery.webhook_id,
        "event_id": delivery.event_id,
        "ordering_key": delivery.ordering_key,
        "state": delivery.state.value,
        "due_at": now,
        "attempt": 0,
        "failures": 0,
        "interruptions": 0,
        "created_at": now,
        "event_stored_at": now,
    }


async def lock_groups_of(
    connection: AsyncConnection, dialect: Dialect, results: Sequence[AttemptResult]
) -> Sequence[GroupKey]:
    """Lock the groups of deliveries whose attempts have ended; return them."""
    groups = sorted(
        {
            (result.attempt.webhook_id, result.ordering_key, result.fence.environment_id)
            for result in results
            if result.ordering_key is not None
        }
    )
    await dialect.lock_groups(connection, groups)
    return groups


async def release_first(
    connection: AsyncConnection, dialect: Dialect, groups: Sequence[GroupKey], now: datetime
) -> int:
    """Release the first of each of these locked groups if it is held; return how many were."""
    if not groups:
        return 0
    firsts = await dialect.first_in_groups(connection, groups)
    held = [first.handle for first in firsts if is_to_release(first)]
    await dialect.release_held(connection, held, now)
    return len(held)


async def release_next(database: Database, after: OrderingGroup, limit: int) -> ReleasedGroups:
    """Release the first held ones of the next groups; see :meth:`DeliveryStore.release_groups`.

    What is to be done is found by a reader, so that a writer is not kept waiting for nothing.
    """
    dialect = database.dialect
    async with database.read_transaction() as connection:
        firsts = await dialect.scan_groups(connection, after, limit)
    held = {first.group: first for first, _ in firsts if is_to_release(first)}
    unordered = sorted({first.group.webhook_id for first, is_ordered in firsts if not is_ordered})
    released, is_done = 0, True
    if held or unordered:
        async with database.write_transaction() as connection:
            groups = [(*group, held[group].environment_id) for group in sorted(held)]
            await dialect.lock_groups(connection, groups)
            now = await dialect.now(connection)
            released = await release_first(connection, dialect, groups, now)
            for webhook_id in unordered:
                handles = await dialect.lock_held_of(connection, webhook_id, limit)
                await dialect.release_held(connection, handles, now)
                released += len(handles)
                is_done &= len(handles) < limit
    if len(firsts) == limit or not is_done:
        return ReleasedGroups(released, firsts[-1][0].group if is_done else after)
    if not database.has_one_writer:
        async with database.write_transaction() as connection:
            is_done = await dialect.forget_empty_groups(connection, limit) < limit
    return ReleasedGroups(released, None if is_done else after)
