"""Whether an erasure has to wait for somebody who publishes."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.postgres.driver import fetch

# Everybody may read pg_locks: a transaction that has written has a lock on its own number, and one
# that has stored events has one on their table.
_PUBLISHING = """
SELECT EXISTS (
  SELECT FROM pg_locks AS stored
  JOIN pg_database AS d ON d.oid = stored.database AND d.datname = current_database()
  JOIN pg_locks AS own ON own.virtualtransaction = stored.virtualtransaction
    AND own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock' AND own.granted
  JOIN erasures AS e ON e.environment_id = $1 AND age(own.transactionid) >= age(e.xmin)
  WHERE stored.locktype = 'relation' AND stored.relation = 'events'::regclass
    AND stored.mode = 'RowExclusiveLock' AND stored.granted
)
"""


async def publishing(connection: AsyncConnection, environment_id: UUID) -> bool:
    """Look for a transaction that has stored events and is older than the erasure's last step."""
    ((found,),) = await fetch(connection, _PUBLISHING, environment_id)
    return bool(found)
