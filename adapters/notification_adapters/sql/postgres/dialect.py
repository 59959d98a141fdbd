"""PostgreSQL's statements with its time, as one object."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.postgres.claims import PostgresClaimStatements
from notification_adapters.sql.postgres.driver import fetch
from notification_adapters.sql.postgres.ingest import PostgresIngestStatements
from notification_adapters.sql.postgres.results import PostgresResultStatements

Now = Callable[[AsyncConnection], Awaitable[datetime]]
"""Tells the storage's time inside a transaction."""

_REVISION_AND_TIME: Final = "SELECT revision, now() FROM webhooks_revision"


async def server_time(connection: AsyncConnection) -> datetime:
    """Return when the server began the transaction."""
    ((now,),) = await fetch(connection, "SELECT now()")
    return cast("datetime", now)


class PostgresDialect(PostgresIngestStatements, PostgresClaimStatements, PostgresResultStatements):
    """The statements of PostgreSQL, which go by the server's clock unless another is given."""

    def __init__(self, now: Now = server_time) -> None:
        self._now = now
        self.has_server_time = now is server_time

    async def now(self, connection: AsyncConnection) -> datetime:
        """Return the server's time."""
        return await self._now(connection)

    async def revision_and_time(self, connection: AsyncConnection) -> tuple[int, datetime]:
        """Return the webhooks' revision and the server's time, in one trip where they can be."""
        if not self.has_server_time:
            return await self.webhooks_revision(connection), await self._now(connection)
        ((number, now),) = await fetch(connection, _REVISION_AND_TIME)
        return number, now
