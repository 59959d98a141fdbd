"""Counting on SQLite."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import MAX_FIGURES, Dialect, StatisticsRow
from notification_adapters.sql.instants import to_microseconds
from notification_adapters.sql.sqlite.connections import SqliteConnection, driver_of
from notification_adapters.sql.sqlite.driver import Row
from notification_adapters.sql.stores.statistics_rows import statistics_rows
from notification_core.model.statistics import CountsByWebhook
from notification_core.model.statistics_encoding import compact

# What is put together is text there, of the same bytes.
_ADD: Final = f"""
INSERT INTO statistics ({", ".join(StatisticsRow._fields)})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (webhook_id, environment_id, bucket_start, writer) DO UPDATE SET
  attempts_succeeded = attempts_succeeded + excluded.attempts_succeeded,
  attempts_failed = attempts_failed + excluded.attempts_failed,
  attempts_interrupted = attempts_interrupted + excluded.attempts_interrupted,
  deliveries_succeeded = deliveries_succeeded + excluded.deliveries_succeeded,
  deliveries_failed = deliveries_failed + excluded.deliveries_failed,
  deliveries_skipped = deliveries_skipped + excluded.deliveries_skipped,
  deliveries_cancelled = deliveries_cancelled + excluded.deliveries_cancelled,
  figures = CAST(figures || excluded.figures AS BLOB)
RETURNING rowid, length(figures)
"""  # noqa: S608 - the columns' names are ours
_FIGURES: Final = "SELECT figures FROM statistics WHERE rowid = ?"
_COMPACT: Final = "UPDATE statistics SET figures = ? WHERE rowid = ?"


class SqliteStatisticsStatements(Dialect):
    """How SQLite adds to statistics."""

    async def add_statistics(
        self, connection: AsyncConnection, rows: Sequence[StatisticsRow]
    ) -> None:
        """Add to what was counted before under the same keys."""
        driver, values = driver_of(connection), [_values(row) for row in rows]
        if isinstance(driver, SqliteConnection):
            driver.put_off.append(partial(add_statistics, values=values))
        else:
            # A host's own: what it makes too long the next one makes short.
            for row in values:
                await driver.execute_fetchall(_ADD, row)


def statistics_values(counts: CountsByWebhook, at: datetime, writer: UUID) -> Sequence[Row]:
    """Return what was counted at an instant as rows for :func:`add_statistics`."""
    return [_values(row) for row in statistics_rows(counts, at, writer)]


def _values(row: StatisticsRow) -> Row:
    return (
        row.webhook_id.hex,
        row.environment_id.hex,
        to_microseconds(row.bucket_start),
        row.writer.hex,
        *row[4:],
    )


def add_statistics(raw: sqlite3.Connection, values: Sequence[Row]) -> None:
    """Add rows to what was counted before under the same keys."""
    for row in values:
        ((rowid, length),) = raw.execute(_ADD, row).fetchall()
        if length > MAX_FIGURES:
            ((figures,),) = raw.execute(_FIGURES, (rowid,)).fetchall()
            raw.execute(_COMPACT, (compact(figures), rowid))
