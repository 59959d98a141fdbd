"""Counting what waits, up to a bound: the indexes are named, and nothing else is read."""

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Counts
from notification_adapters.sql.sqlite.driver import fetch

_COUNTS = """
SELECT (
  SELECT count(*) FROM (
    SELECT 1 FROM deliveries INDEXED BY deliveries_waiting
    WHERE state = 'pending' AND worker IS NULL LIMIT ?1
  )
), (
  SELECT count(*) FROM (
    SELECT 1 FROM deliveries INDEXED BY deliveries_leased WHERE worker IS NOT NULL LIMIT ?1
  )
)
"""


async def counts(connection: AsyncConnection, most: int) -> Counts:
    """Return how many deliveries wait and how many are begun, each at most ``most``."""
    ((waiting, begun),) = await fetch(connection, _COUNTS, most)
    return Counts(waiting, begun)
