"""Statistics on SQL: reading them. Hours are read by days and hours, minutes by minutes."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import COUNTED
from notification_adapters.sql.tables import statistics, statistics_minutes, webhooks
from notification_core.errors import Detail, InvalidPeriod
from notification_core.model.delivery import AttemptOutcome, DeliveryState
from notification_core.model.statistics import BucketSize, Counts, Period
from notification_core.model.statistics_encoding import decode_into
from notification_core.ports.statistics import (
    MAX_ROWS,
    StatisticsStore,
    WebhookAttempts,
    WebhookSummary,
)

_WEBHOOKS_AT_ONCE: Final = 50

_s, _m, _w = statistics.c, statistics_minutes.c, webhooks.c
_OUTCOMES: Final = (
    AttemptOutcome.SUCCEEDED,
    AttemptOutcome.FAILED,
    AttemptOutcome.INTERRUPTED,
)
"""How the attempts ended that are counted, in the order of their columns."""

_ENDS: Final = (
    *(DeliveryState.SUCCEEDED, DeliveryState.FAILED),
    *(DeliveryState.SKIPPED, DeliveryState.CANCELLED),
)
"""The states whose deliveries are counted, in the order of their columns."""
_NOT_MERGED: Final = _s.minutes == 1


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
            rows = await self._rows(environment_id, webhook_ids, period, left)
            left -= len(rows)
            # Of many rows it takes long, and this process has deliveries to make.
            await asyncio.to_thread(_add_by_bucket, buckets, rows, period)
        return buckets

    async def summarize(
        self, environment_id: UUID, webhook_ids: Collection[UUID], period: Period
    ) -> Mapping[UUID, WebhookSummary]:
        """Return what was counted of some webhooks, and how their attempts ended by bucket."""
        rows = await self._rows(environment_id, webhook_ids, period, MAX_ROWS)
        return await asyncio.to_thread(_summaries, rows, period)

    async def _rows(
        self, environment_id: UUID, webhook_ids: Collection[UUID], period: Period, most: int
    ) -> Sequence[Any]:
        """Return the rows of some webhooks, by one statement.

        So what is merged meanwhile is seen before or after, and nothing of it twice.
        """
        found = _found(statistics, environment_id, webhook_ids, period)
        if period.span is BucketSize.MINUTE:
            minutes = _found(statistics_minutes, environment_id, webhook_ids, period)
            of_both = sa.union_all(found.where(_NOT_MERGED), minutes).subquery()
            found = sa.select(*of_both.c)
        async with self._database.query() as connection:
            rows: Sequence[Any] = (await connection.execute(found.limit(most + 1))).all()
        if len(rows) > most:
            message = (
                f"There are more than {MAX_ROWS:,} rows of statistics for this time. Ask for a "
                "shorter one, or for one webhook."
            )
            raise InvalidPeriod(message, [Detail("since", message)])
        return rows

    async def failing(self, since: datetime, limit: int) -> Sequence[WebhookAttempts]:
        """Return the webhooks of which most attempts have failed since then, the worst first."""
        return await self._ranked(since, limit, by_failures=True)

    async def busiest(self, since: datetime, limit: int) -> Sequence[WebhookAttempts]:
        """Return the webhooks with most attempts since then, the busiest first."""
        return await self._ranked(since, limit, by_failures=False)

    async def _ranked(
        self, since: datetime, limit: int, *, by_failures: bool
    ) -> Sequence[WebhookAttempts]:
        ended = "webhook_id", "environment_id", "bucket_start", *COUNTED[:2]
        of_both = sa.union_all(
            sa.select(*(_s[name] for name in ended)).where(_NOT_MERGED, _s.bucket_start >= since),
            sa.select(*(_m[name] for name in ended)).where(_m.bucket_start >= since),
        ).subquery()
        latest = (
            sa.select(of_both).order_by(of_both.c.bucket_start.desc()).limit(MAX_ROWS).subquery()
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


def _found(
    table: sa.Table, environment_id: UUID, webhook_ids: Collection[UUID], period: Period
) -> sa.Select[Any]:
    """Return the query for what a table has of some webhooks within a period."""
    columns = table.c
    counted = (columns[name] for name in COUNTED)
    return sa.select(columns.webhook_id, columns.bucket_start, *counted).where(
        columns.webhook_id.in_(webhook_ids),
        columns.environment_id == environment_id,
        columns.bucket_start >= period.since,
        columns.bucket_start < period.until,
    )


def _summaries(rows: Iterable[Any], period: Period) -> Mapping[UUID, WebhookSummary]:
    of_webhooks: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        of_webhooks[row[0]].append(row)
    return {
        webhook_id: _summary(of_webhook, period) for webhook_id, of_webhook in of_webhooks.items()
    }


def _summary(rows: Sequence[Any], period: Period) -> WebhookSummary:
    total = Counts()
    _add(total, (row[2:] for row in rows))
    start_of = cache(period.span.start_of)
    attempts: defaultdict[datetime, Counter[AttemptOutcome]] = defaultdict(Counter)
    for _, start, *counted in rows:
        of_bucket = attempts[start_of(start)]
        for outcome, count in zip(_OUTCOMES, counted, strict=False):
            of_bucket[outcome] += count
    return WebhookSummary(total, attempts)


def _add_by_bucket(
    buckets: defaultdict[datetime, Counts], rows: Iterable[Any], period: Period
) -> None:
    by_bucket: defaultdict[datetime, list[Sequence[Any]]] = defaultdict(list)
    start_of = cache(period.span.start_of)
    for row in rows:
        by_bucket[start_of(row[1])].append(row[2:])
    for start, of_bucket in by_bucket.items():
        _add(buckets[start], of_bucket)


def _add(counts: Counts, rows: Iterable[Sequence[Any]]) -> None:
    """Add to counts what is in rows, of which only what was counted is given."""
    *columns, figures = zip(*rows, strict=True)
    sums = [*map(sum, columns)]
    made, ended = sums[: len(_OUTCOMES)], sums[len(_OUTCOMES) :]
    counts.attempts += Counter(dict(zip(_OUTCOMES, made, strict=True)))
    counts.deliveries += Counter(dict(zip(_ENDS, ended, strict=True)))
    decode_into(counts, *figures)
