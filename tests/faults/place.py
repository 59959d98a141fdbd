"""A PostgreSQL database that several processes of a test share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen

from tests.postgres_server import PostgresServer

IN_FLIGHT = 32

_UNFINISHED = "SELECT count(*) FROM deliveries WHERE state = 'pending' OR worker IS NOT NULL"


@frozen
class Place:
    """A database, and what its processes are told of it."""

    postgres: PostgresServer
    database: str

    @property
    def settings(self) -> dict[str, str]:
        """What a process is told of it."""
        return {
            "DB_URI": self.postgres.database_uri(self.database),
            "DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef",
            "WEBHOOKS_RETRY_INTERVAL": "100ms",
            "WEBHOOKS_MAX_IN_FLIGHT": str(IN_FLIGHT),
        }

    async def count(self, question: str) -> int:
        """Look into the database."""
        async with self.postgres.connected(self.database) as connection:
            return int(await connection.fetchval(question))

    async def is_done(self) -> bool:
        """Tell whether nothing waits and nobody works."""
        return await self.count(_UNFINISHED) == 0


@asynccontextmanager
async def place_on(postgres: PostgresServer) -> AsyncIterator[Place]:
    """Make an empty database for the length of the block."""
    async with postgres.database(empty=True) as database:
        yield Place(postgres, database)
