"""Statistics on SQL: reading them, and merging minutes to hours."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.stores.statistics_rows import statistics_rows
from notification_adapters.sql.tables import statistics, webhooks
from notification_core.errors import Detail, InvalidPeriod
from notification_core.model.delivery import AttemptOutcome, DeliveryState
from notification_core.model.statistics import BucketSize, Counts, CountsByWebhook, Period
from notification_core.model.statistics_encoding import decode_into
from notification_core.ports.statistics import MAX_ROWS, StatisticsStore, WebhookAttempts

_WEBHOOKS_AT_ONCE: Final = 50
_MERGED: Final = UUID(int=0)
"""Who has written what was merged."""

_s, _w = statistics.c, webhooks.c
_KEY: Final = (_s.webhook_id, _s.environment_id, _s.bucket_start, _s.writer)
_COUNTED: Final = (
    *(_s.attempts_succeeded, _s.attempts_failed, _s.attempts_interrupted),
    *(_s.deliveries_succeeded, _s.deliveries_failed),
    *(_s.deliveries_skipped, _s.deliveries_cancelled, _s.figures),
)
_ENDS: Final = (
    *(DeliveryState.SUCCEEDED, DeliveryState.FAILED),
    *(DeliveryState.SKIPPED, DeliveryState.CANCELLED),
)
"""The states whose deliveries are counted, in the order of their columns."""
_MINUTE, _HOUR = 1, 60


class SqlStatisticsStore(StatisticsStore):
    """Reads statistics from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, environment_id: UUID, webhook_id: UUID | None, period: Period
    ) -> Mapping[datetime, Counts]:
        """Return what was counted of a webhook, or of an environment, by bucket."""
        buckets: defaultdict[datetime, Counts] = defaultdict(Counts)
        left = MAX_ROWS
        # Not one transaction: what is counted meanwhile may be seen or not.
        for webhook_ids in await self._webhooks(environment_id, webhook_id):
            query = (
                sa.select(_s.bucket_start, *_COUNTED)
                .where(
                    _s.webhook_id.in_(webhook_ids),
                    _s.environment_id == environment_id,
                    _s.bucket_start >= period.since,
                    _s.bucket_start < period.until,
                )
                .limit(left + 1)
            )
            async with self._database.query() as connection:
                rows = (await connection.execute(query)).all()
            left -= len(rows)
            if left < 0:
                message = (
                    f"There are more than {MAX_ROWS:,} rows of statistics for this time. Ask for a "
                    "shorter one, or for one webhook."
                )
                raise InvalidPeriod(message, [Detail("since", message)])
            # Of many rows it takes seconds, in which this process has deliveries to make.
            await asyncio.to_thread(_add_rows, buckets, rows, period)
        return buckets

    async def failing(self, since: datetime, limit: int) -> Sequence[WebhookAttempts]:
        """Return the webhooks of which most attempts have failed since then, the worst first."""
        return await self._ranked(since, limit, by_failures=True)

    async def busiest(self, since: datetime, limit: int) -> Sequence[WebhookAttempts]:
        """Return the webhooks with most attempts since then, the busiest first."""
        return await self._ranked(since, limit, by_failures=False)

    async def _ranked(
        self, since: datetime, limit: int, *, by_failures: bool
    ) -> Sequence[WebhookAttempts]:
        latest = (
            sa.select(statistics)
            .where(_s.minutes == _MINUTE, _s.bucket_start >= since)
            .order_by(_s.bucket_start.desc())
            .limit(MAX_ROWS)
            .subquery()
        ).c
        failed, succeeded = (
            sa.func.sum(latest.attempts_failed),
            sa.func.sum(latest.attempts_succeeded),
        )
        ranked_by = failed if by_failures else failed + succeeded
        query = (
            sa.select(latest.webhook_id, latest.environment_id, failed, succeeded)
            .group_by(latest.webhook_id, latest.environment_id)
            .having(ranked_by > 0)
            .order_by(ranked_by.desc(), latest.webhook_id)
            .limit(limit)
        )
        async with self._database.query() as connection:
            return [WebhookAttempts(*row) for row in await connection.execute(query)]

    async def _webhooks(
        self, environment_id: UUID, webhook_id: UUID | None
    ) -> Sequence[Sequence[UUID]]:
        """Return the ids of a webhook, or of all of an environment, tombstones too, in batches."""
        if webhook_id is not None:
            return [[webhook_id]]
        query = sa.select(_w.webhook_id).where(_w.environment_id == environment_id)
        async with self._database.query() as connection:
            ids = (await connection.execute(query.order_by(_w.webhook_id))).scalars().all()
        return [
            ids[start : start + _WEBHOOKS_AT_ONCE]
            for start in range(0, len(ids), _WEBHOOKS_AT_ONCE)
        ]


def _add_rows(buckets: defaultdict[datetime, Counts], rows: Iterable[Any], period: Period) -> None:
    by_bucket: defaultdict[datetime, list[Sequence[Any]]] = defaultdict(list)
    start_of = cache(period.span.start_of)
    for row in rows:
        by_bucket[start_of(row.bucket_start)].append(row[1:])
    for start, of_bucket in by_bucket.items():
        add_rows(buckets[start], of_bucket)


def add_rows(counts: Counts, rows: Iterable[Sequence[Any]]) -> None:
    """Add to counts what is in rows, of which only what was counted is given."""
    *columns, figures = zip(*rows, strict=True)
    (succeeded, failed, interrupted, *ended) = map(sum, columns)
    counts.attempts += Counter(
        {
            AttemptOutcome.SUCCEEDED: succeeded,
            AttemptOutcome.FAILED: failed,
            AttemptOutcome.INTERRUPTED: interrupted,
        }
    )
    counts.deliveries += Counter(dict(zip(_ENDS, ended, strict=True)))
    decode_into(counts, *figures)


async def merge_minutes(database: Database, before: datetime, limit: int) -> int:
    """Merge the first minutes from before to their hours; return how many rows."""
    old = (
        sa.select(statistics)
        .where(_s.minutes == _MINUTE, _s.bucket_start < before)
        .order_by(_s.bucket_start)
        .limit(limit)
    )
    async with database.query() as connection:
        if (await connection.execute(old.limit(1))).first() is None:
            return 0
    async with database.write_transaction() as connection:
        rows = (await connection.execute(old.with_for_update(skip_locked=True))).all()
        by_hour: defaultdict[datetime, CountsByWebhook] = defaultdict(CountsByWebhook)
        for (start, *key), of_hour in _by_hour(rows).items():
            add_rows(by_hour[start].of(*key), of_hour)
        merged = [
            row
            for hour, counts in by_hour.items()
            for row in statistics_rows(counts, hour, _MERGED, BucketSize.HOUR)
        ]
        if merged:
            await database.dialect.add_statistics(connection, sorted(merged))
        await _delete(connection, rows)
    return len(rows)


def _by_hour(rows: Iterable[Any]) -> Mapping[tuple[datetime, UUID, UUID], list[Sequence[Any]]]:
    """Return what was counted by hour, environment and webhook."""
    counted: defaultdict[tuple[datetime, UUID, UUID], list[Sequence[Any]]] = defaultdict(list)
    for row in rows:
        key = BucketSize.HOUR.start_of(row.bucket_start), row.environment_id, row.webhook_id
        counted[key].append([getattr(row, column.name) for column in _COUNTED])
    return counted


async def delete_before(database: Database, before: datetime, limit: int) -> int:
    """Delete the first hours and minutes from before; return how many rows."""
    deleted = 0
    for minutes in (_MINUTE, _HOUR):
        old = (
            sa.select(*_KEY)
            .where(_s.minutes == minutes, _s.bucket_start < before)
            .order_by(_s.bucket_start)
            .limit(limit - deleted)
        )
        async with database.read_transaction() as connection:
            rows = (await connection.execute(old)).all()
        if rows:
            async with database.write_transaction() as connection:
                deleted += await _delete(connection, rows)
    return deleted


async def _delete(connection: AsyncConnection, rows: Iterable[Any]) -> int:
    # In the order in which they are written.
    keys = sorted(
        (row.webhook_id, row.environment_id, row.bucket_start, row.writer) for row in rows
    )
    if not keys:
        return 0
    deletion = sa.delete(statistics).where(sa.tuple_(*_KEY).in_(keys))
    return (await connection.execute(deletion)).rowcount
