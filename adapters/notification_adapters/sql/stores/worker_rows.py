"""What each worker may be sending of the deliveries that it has prefetched."""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Dialect
from notification_adapters.sql.installation_tables import workers
from notification_adapters.sql.tables import deliveries
from notification_adapters.sql.upsert import insert_if_absent

_ID_SIZE = 16


async def enlist(connection: AsyncConnection, worker: UUID) -> None:
    """Let a worker begin attempts of what it prefetches."""
    await insert_if_absent(connection, workers, {"worker": worker, "begun": b"", "closed": False})


async def count(connection: AsyncConnection) -> int:
    """Return how many workers are enlisted."""
    number: int = (
        await connection.execute(sa.select(sa.func.count(workers.c.worker)))
    ).scalar_one()
    return number


async def owners(connection: AsyncConnection, dialect: Dialect) -> set[UUID]:
    """Return the workers that own leases or were enlisted; webhook tests have none."""
    enlisted = await connection.execute(sa.select(workers.c.worker))
    return {*enlisted.scalars(), *await dialect.lease_owners(connection)}


async def begin(connection: AsyncConnection, worker: UUID, delivery_ids: Collection[UUID]) -> bool:
    """Note what a worker may be sending, unless it is closed or not enlisted; tell whether."""
    begun = b"".join([delivery_id.bytes for delivery_id in delivery_ids])
    may_begin = workers.c.worker == worker, workers.c.closed.is_(False)
    noted = await connection.execute(sa.update(workers).where(*may_begin).values(begun=begun))
    return bool(noted.rowcount)


async def close(connection: AsyncConnection, owners: Collection[UUID]) -> Collection[UUID]:
    """Have workers begin nothing more; return the deliveries that they may be sending.

    It waits for a worker that is beginning some at this moment, and returns those too.
    """
    if not owners:
        return ()
    closing = sa.update(workers).where(workers.c.worker.in_(sorted(owners))).values(closed=True)
    rows = await connection.execute(closing.returning(workers.c.begun))
    return {
        UUID(bytes=begun[place : place + _ID_SIZE])
        for begun in rows.scalars()
        for place in range(0, len(begun), _ID_SIZE)
    }


async def forget(connection: AsyncConnection, dead: Collection[UUID]) -> None:
    """Delete those of these workers that own no delivery any more."""
    if dead:
        owns = sa.exists().where(deliveries.c.worker == workers.c.worker)
        await connection.execute(sa.delete(workers).where(workers.c.worker.in_(dead), ~owns))
