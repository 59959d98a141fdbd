"""Merging statistics on SQL: minutes are added up to hours, kept a while by themselves, deleted.

Days and hours are read from the hours, so that a day of a webhook is 24 rows and those of the last
hour or two, however much was counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import COUNTED, StatisticsRow
from notification_adapters.sql.tables import ERASING, erasures, statistics, statistics_minutes
from notification_core.model.statistics import HOUR, BucketSize
from notification_core.model.statistics_encoding import compact

_MERGED: Final = UUID(int=0)
"""Who has written the hours."""

_MINUTE, _HOUR = 1, 60
_s = statistics.c
_KEY: Final = ("webhook_id", "environment_id", "bucket_start", "writer")

# What an erasure has passed must not come back.
_ERASED: Final = sa.select(erasures.c.environment_id).where(ERASING)


async def merge_minutes(database: Database, before: datetime, limit: int) -> int:
    """Add some minutes of the first hour from before up to it; return how many rows.

    They are the whole hour of a few webhooks, unless these have very many rows: so an hour is
    written once.
    """
    minutes = _s.minutes == _MINUTE, _s.environment_id.not_in(_ERASED)
    oldest = sa.select(_s.bucket_start).where(*minutes, _s.bucket_start < before)
    async with database.query() as connection:
        first = (await connection.execute(oldest.order_by(_s.bucket_start).limit(1))).scalar()
    if first is None:
        return 0
    hour = BucketSize.HOUR.start_of(first)
    webhooks = (
        sa.select(_s.webhook_id, _s.environment_id)
        .where(*minutes, _s.bucket_start == first)
        .distinct()
        .limit(max(1, limit // _HOUR))
    )
    async with database.write_transaction() as connection:
        keys = [tuple(row) for row in await connection.execute(webhooks)]
        if not keys:
            return 0
        of_hour = (
            sa.select(statistics)
            .where(
                sa.tuple_(_s.webhook_id, _s.environment_id).in_(keys),
                _s.bucket_start >= hour,
                _s.bucket_start < min(before, hour + HOUR),
                _s.minutes == _MINUTE,
            )
            .order_by(_s.webhook_id, _s.environment_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = (await connection.execute(of_hour)).all()
        if rows:
            await _merge(database, connection, rows, hour)
    return len(rows)


async def _merge(
    database: Database, connection: AsyncConnection, rows: Sequence[Any], hour: datetime
) -> None:
    hours = _add_up(rows, hour, _MERGED, _HOUR)
    await database.dialect.add_statistics(connection, hours)
    # Nobody has this name: what comes late of a minute is another row of it.
    merging, by_minute = uuid4(), defaultdict(list)
    for row in rows:
        by_minute[row.bucket_start].append(row)
    kept = [
        row._asdict()
        for minute, of_minute in by_minute.items()
        for row in _add_up(of_minute, minute, merging, _MINUTE)
    ]
    for row in kept:
        del row["minutes"]
    await connection.execute(sa.insert(statistics_minutes), kept)
    await _delete(connection, statistics, rows)


def _add_up(
    rows: Iterable[Any], start: datetime, writer: UUID, minutes: int
) -> Sequence[StatisticsRow]:
    """Return the sums of rows by webhook, sorted by their keys."""
    by_webhook: Mapping[tuple[UUID, UUID], list[Sequence[Any]]] = defaultdict(list)
    for row in rows:
        counted = [getattr(row, name) for name in COUNTED]
        by_webhook[row.webhook_id, row.environment_id].append(counted)
    added = []
    for key, of_webhook in sorted(by_webhook.items()):
        *columns, figures = zip(*of_webhook, strict=True)
        sums, merged = map(sum, columns), compact(*figures)
        added.append(StatisticsRow._make((*key, start, writer, minutes, *sums, merged)))
    return added


async def delete_minutes_before(database: Database, before: datetime, limit: int) -> int:
    """Delete the first minutes from before of hours that were merged; return how many rows."""
    old = statistics_minutes.c.bucket_start < before
    return await _delete_first(database, statistics_minutes, old, limit)


async def delete_before(database: Database, before: datetime, limit: int) -> int:
    """Delete the first hours, and minutes not merged, from before; return how many rows."""
    deleted = 0
    for minutes in (_MINUTE, _HOUR):
        old = sa.and_(_s.minutes == minutes, _s.bucket_start < before)
        deleted += await _delete_first(database, statistics, old, limit - deleted)
    return deleted


async def _delete_first(
    database: Database, table: sa.Table, old: sa.ColumnElement[bool], limit: int
) -> int:
    oldest = sa.select(*(table.c[name] for name in _KEY)).where(old)
    async with database.read_transaction() as connection:
        first = oldest.order_by(table.c.bucket_start).limit(limit)
        rows = (await connection.execute(first)).all()
    if not rows:
        return 0
    async with database.write_transaction() as connection:
        return await _delete(connection, table, rows)


async def _delete(connection: AsyncConnection, table: sa.Table, rows: Iterable[Any]) -> int:
    # In the order in which they are written.
    keys = sorted(tuple(getattr(row, name) for name in _KEY) for row in rows)
    these = sa.tuple_(*(table.c[name] for name in _KEY)).in_(keys)
    return (await connection.execute(sa.delete(table).where(these))).rowcount
