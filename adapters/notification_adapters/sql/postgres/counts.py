"""Counting what waits, up to a bound, by the partial indexes."""

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Counts
from notification_adapters.sql.postgres.driver import fetch

COUNTS = """
SELECT (
  SELECT count(*) FROM (
    SELECT 1 FROM deliveries WHERE state = 'pending' AND worker IS NULL LIMIT $1
  ) AS waiting
), (
  SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE worker IS NOT NULL LIMIT $1) AS begun
)
"""


async def counts(connection: AsyncConnection, most: int) -> Counts:
    """Return how many deliveries wait and how many are begun, each at most ``most``."""
    ((waiting, begun),) = await fetch(connection, COUNTS, most)
    return Counts(waiting, begun)
