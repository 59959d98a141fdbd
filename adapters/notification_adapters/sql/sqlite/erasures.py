"""Whether an erasure has to wait for somebody who publishes."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection


async def publishing(connection: AsyncConnection, environment_id: UUID) -> bool:  # noqa: ARG001 - nobody else writes
    """Return False: who asks is the only one who writes."""
    return False
