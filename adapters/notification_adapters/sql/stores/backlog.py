"""The backlog of a SQL database, read from the partial indexes alone."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.installation_tables import operational_events, outbox
from notification_adapters.sql.stores.health_rows import IS_PAUSED
from notification_adapters.sql.tables import (
    ERASING,
    RUNNING,
    WAITING,
    deliveries,
    erasures,
    replays,
    webhook_health,
    webhooks,
)
from notification_core.ports.backlog import (
    MAX_COUNTED,
    MAX_WEBHOOKS,
    NOTHING,
    Backlog,
    BacklogSize,
    QueueLength,
    Unfinished,
)

_QUEUES_AT_ONCE: Final = 1_000
_PASSES: Final = 3
# Since when each is, in the order of an index of nothing else.
_UNFINISHED: Final[Mapping[str, sa.Select[tuple[datetime]]]] = {
    "outbox": sa.select(outbox.c.stored_at).order_by(outbox.c.message_id),
    "operational_events": sa.select(operational_events.c.occurred_at).order_by(
        operational_events.c.event_id
    ),
    "replays": sa.select(replays.c.created_at)
    .where(RUNNING)
    .order_by(replays.c.webhook_id, replays.c.environment_id),
    "erasures": sa.select(erasures.c.requested_at)
    .where(ERASING)
    .order_by(erasures.c.environment_id),
}
_PAUSED = sa.select(sa.func.count(webhook_health.c.webhook_id)).where(IS_PAUSED)


class SqlBacklog(Backlog):
    """Measures what waits in a SQL database, in one consistent view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def size(
        self, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> BacklogSize:
        """Return how much waits; raise :class:`StorageUnavailable`."""
        dialect = self._database.dialect
        async with self._database.read_transaction() as connection:
            counts = await dialect.count_deliveries(connection, max_counted)
            _, now, queues = await dialect.scan_queues(connection, None, max_webhooks)
            workers = await dialect.lease_owners(connection)
            paused: int = (await connection.execute(_PAUSED)).scalar_one()
            unfinished = {
                name: await _unfinished(connection, since, now, max_counted)
                for name, since in _UNFINISHED.items()
            }
        return BacklogSize(
            waiting=counts.waiting,
            claimed=counts.claimed,
            webhooks=len(queues),
            due={
                queue.webhook_id: now - queue.due_at
                for queue in queues
                if queue.ready_at(now) <= now and queue.may_be_sent_to(now) and not queue.probes
            },
            workers=frozenset(workers),
            paused=paused,
            **unfinished,
        )

    async def longest(
        self, limit: int, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> Sequence[QueueLength]:
        """Return the longest queues, the longest first."""
        lengths: dict[UUID, QueueLength] = {}
        async with self._database.read_transaction() as connection:
            scan = self._database.dialect.scan_queues
            _, _, queues = await scan(connection, None, max_webhooks)
            uncounted, former = [queue.webhook_id for queue in queues], 0
            for _ in range(_PASSES):
                # Each is counted to its share, so that all together read no more than one may;
                # those that were cut share again, without the short ones.
                share = max(1, max_counted // max(1, len(uncounted)))
                if not uncounted or share == former:
                    break
                former = share
                counted = await _count(connection, uncounted, share)
                lengths |= {queue.webhook_id: queue for queue in counted}
                uncounted = [queue.webhook_id for queue in counted if not queue.is_exact]
        by_length = sorted(lengths.values(), key=lambda queue: (-queue.waiting, queue.webhook_id))
        return by_length[:limit]

    async def longer_than(self, most: int) -> Collection[UUID]:
        """Return the webhooks for which more than so many deliveries wait."""
        async with self._database.read_transaction() as connection:
            counts = await self._database.dialect.count_deliveries(connection, most + 1)
            if counts.waiting <= most:
                return frozenset()
            return {
                webhook_id
                async for webhook_id in self._queues(connection)
                if await _is_longer(connection, webhook_id, most)
            }

    async def _queues(self, connection: AsyncConnection) -> AsyncIterator[UUID]:
        """Yield all webhooks that have deliveries waiting."""
        after: UUID | None = None
        while True:
            _, _, queues = await self._database.dialect.scan_queues(
                connection, after, _QUEUES_AT_ONCE
            )
            if not queues:
                return
            for queue in queues:
                yield queue.webhook_id
            after = queues[-1].webhook_id


async def _unfinished(
    connection: AsyncConnection, since: sa.Select[tuple[datetime]], now: datetime, most: int
) -> Unfinished:
    """Count what is unfinished, at most so many, and tell the age of the oldest of these."""
    rows = since.limit(most).subquery()
    (first,) = rows.columns
    summed = sa.select(sa.func.count(), sa.func.min(first)).select_from(rows)
    count, oldest = (await connection.execute(summed)).one()
    return Unfinished(count, now - oldest) if count else NOTHING


async def _count(
    connection: AsyncConnection, webhook_ids: Sequence[UUID], most: int
) -> Sequence[QueueLength]:
    """Count the queue of each webhook, at most so many of one."""
    queue = (
        sa.select(deliveries.c.webhook_id)
        .where(deliveries.c.webhook_id == webhooks.c.webhook_id, WAITING)
        # The same: by this order only the index of what waits will do.
        .order_by(deliveries.c.webhook_id, deliveries.c.due_at)
        .limit(most)
        .correlate(webhooks)
        .subquery()
    )
    length = sa.select(sa.func.count()).select_from(queue).scalar_subquery()
    lengths = sa.select(webhooks.c.environment_id, webhooks.c.webhook_id, length)
    counted: list[QueueLength] = []
    for start in range(0, len(webhook_ids), _QUEUES_AT_ONCE):
        some = webhooks.c.webhook_id.in_(webhook_ids[start : start + _QUEUES_AT_ONCE])
        for environment_id, webhook_id, waiting in await connection.execute(lengths.where(some)):
            counted.append(QueueLength(environment_id, webhook_id, waiting, waiting < most))
    return counted


async def _is_longer(connection: AsyncConnection, webhook_id: UUID, most: int) -> bool:
    """Step through the index of what waits to the first delivery that is one too many."""
    one_too_many = (
        sa.select(deliveries.c.due_at)
        .where(deliveries.c.webhook_id == webhook_id, WAITING)
        # The order keeps the planner at the index of what waits.
        .order_by(deliveries.c.due_at)
        .offset(most)
        .limit(1)
    )
    return (await connection.execute(one_too_many)).first() is not None
