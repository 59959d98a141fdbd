"""Counting on PostgreSQL."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import MAX_FIGURES, Dialect, StatisticsRow
from notification_adapters.sql.postgres.driver import columns, fetch, run
from notification_core.model.histogram import BOUNDS
from notification_core.model.statistics_encoding import DELIVERY_TIMES, compact

COLUMNS: Final = ", ".join(StatisticsRow._fields)
ADD_UP: Final = """
ON CONFLICT (webhook_id, environment_id, bucket_start, writer) DO UPDATE SET
  attempts_succeeded = s.attempts_succeeded + excluded.attempts_succeeded,
  attempts_failed = s.attempts_failed + excluded.attempts_failed,
  attempts_interrupted = s.attempts_interrupted + excluded.attempts_interrupted,
  deliveries_succeeded = s.deliveries_succeeded + excluded.deliveries_succeeded,
  deliveries_failed = s.deliveries_failed + excluded.deliveries_failed,
  deliveries_skipped = s.deliveries_skipped + excluded.deliveries_skipped,
  deliveries_cancelled = s.deliveries_cancelled + excluded.deliveries_cancelled,
  figures = s.figures || excluded.figures
RETURNING webhook_id, environment_id, bucket_start, writer, figures
"""
"""What follows the insertion into ``statistics AS s``: what is there is added to."""

_ADD = f"""
WITH counted AS (
  INSERT INTO statistics AS s ({COLUMNS})
  SELECT {COLUMNS}
  FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::smallint[],
    $6::integer[], $7::integer[], $8::integer[], $9::integer[], $10::integer[], $11::integer[],
    $12::integer[], $13::bytea[]) AS n ({COLUMNS})
  {ADD_UP}
)
SELECT * FROM counted WHERE octet_length(figures) > {MAX_FIGURES}
"""  # noqa: S608 - all of it is ours
COMPACT: Final = """
UPDATE statistics SET figures = $6
WHERE webhook_id = $1 AND environment_id = $2 AND bucket_start = $3 AND writer = $4
  AND figures = $5
"""
"""Writes the same in fewer bytes, unless somebody has added to it meanwhile."""

# As ``bucket_of`` says: width_bucket() counts the bounds that are not beyond, and is binary search.
_BOUNDS = ",".join(str(bound + 1) for bound in BOUNDS[:-1])


def delivery_time_record(since: str, until: str) -> str:
    """Return the expression of a record with one delivery, stored and ended at these times."""
    microseconds = f"(date_part('epoch', {until} - {since}) * 1000000)::bigint"
    bucket = f"width_bucket({microseconds}, '{{{_BOUNDS}}}'::bigint[])"
    return rf"set_byte('\x{DELIVERY_TIMES:02x}020001'::bytea, 2, {bucket})"


class PostgresStatisticsStatements(Dialect):
    """How PostgreSQL adds to statistics."""

    async def add_statistics(
        self, connection: AsyncConnection, rows: Sequence[StatisticsRow]
    ) -> None:
        """Add to what was counted before under the same keys."""
        for *key, figures in await fetch(connection, _ADD, *columns(rows, 13)):
            await run(connection, COMPACT, *key, figures, compact(figures))
