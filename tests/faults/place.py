"""Where a run's processes store: an SQLite file, or a PostgreSQL database that several share."""

import sqlite3
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Protocol

from attrs import frozen

from tests.faults.history import Stored
from tests.faults.stored import UNFINISHED, read_postgres, read_sqlite
from tests.support.postgres_server import PostgresServer

DATABASE = "data/notification-management.sqlite"
IN_FLIGHT = 32
SECRET = "0123456789abcdef0123456789abcdef"


class Place(Protocol):
    """A storage, what processes are told of it, and a way to look into it past the product."""

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, str]:
        """What a process is told of it."""

    @abstractmethod
    async def stored(self) -> Stored:
        """Return all that is in it."""

    @abstractmethod
    async def count(self, question: str) -> int:
        """Return the one number that a query asks for."""

    @abstractmethod
    async def execute(self, statement: str) -> None:
        """Change what is in it; whether that survives the host is not the question."""

    @abstractmethod
    async def columns(self, table: str) -> Sequence[str]:
        """Return the names of a table's columns."""

    @property
    @abstractmethod
    def numbered_id(self) -> str:
        """An expression that makes an id of the number ``n``."""

    async def multiply(self, table: str, made: Mapping[str, str], times: int) -> None:
        """Copy the oldest row of a table so often, but for what is ``made`` of the number ``n``."""
        names = await self.columns(table)
        copied = ", ".join(made.get(name, name) for name in names)
        await self.execute(
            f"INSERT INTO {table} ({', '.join(names)}) "  # noqa: S608 - the table's columns
            "WITH RECURSIVE numbers (n) AS "
            f"(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {times}) "
            f"SELECT {copied} FROM numbers, "
            f"(SELECT * FROM {table} ORDER BY created_at LIMIT 1) AS oldest"
        )

    async def is_done(self) -> bool:
        """Tell whether nothing waits and nobody works."""
        return await self.count(UNFINISHED) == 0


@frozen
class FilePlace(Place):
    """An SQLite file."""

    path: Path

    @property
    def settings(self) -> Mapping[str, str]:
        """Name the file, and the secret, since several commands may share them."""
        return {"DB_URI": f"sqlite:///{self.path}", "DB_ENCRYPTION_SECRET": SECRET}

    async def stored(self) -> Stored:
        """Return all that is in the file."""
        return read_sqlite(self.path)

    async def count(self, question: str) -> int:
        """Ask the file."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            (number,) = connection.execute(question).fetchone()
        return int(number)

    async def execute(self, statement: str) -> None:
        """Change the file."""
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=60)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(statement)

    async def columns(self, table: str) -> Sequence[str]:
        """Ask the file."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]

    @property
    def numbered_id(self) -> str:
        """Write it as the file has ids."""
        return "printf('%032x', n)"


@frozen
class ServerPlace(Place):
    """A PostgreSQL database."""

    postgres: PostgresServer
    database: str

    @property
    def settings(self) -> Mapping[str, str]:
        """Name the database, and have few requests in flight, so that several workers share."""
        return {
            "DB_URI": self.postgres.database_uri(self.database),
            "DB_ENCRYPTION_SECRET": SECRET,
            "WEBHOOKS_RETRY_INTERVAL": "100ms",
            "WEBHOOKS_MAX_IN_FLIGHT": str(IN_FLIGHT),
        }

    async def stored(self) -> Stored:
        """Return all that is in the database."""
        async with self.postgres.connected(self.database) as connection:
            return await read_postgres(connection)

    async def count(self, question: str) -> int:
        """Ask the database."""
        async with self.postgres.connected(self.database) as connection:
            return int(await connection.fetchval(question))

    async def execute(self, statement: str) -> None:
        """Change the database."""
        async with self.postgres.connected(self.database) as connection:
            await connection.execute(statement)

    async def columns(self, table: str) -> Sequence[str]:
        """Ask the database."""
        async with self.postgres.connected(self.database) as connection:
            named = await connection.prepare(f"SELECT * FROM {table}")  # noqa: S608 - our own table
            return [one.name for one in named.get_attributes()]

    @property
    def numbered_id(self) -> str:
        """Write it as the database has ids."""
        return "lpad(to_hex(n), 32, '0')::uuid"


@asynccontextmanager
async def place_on(postgres: PostgresServer) -> AsyncIterator[ServerPlace]:
    """Make an empty database for the length of the block."""
    async with postgres.database(empty=True) as database:
        yield ServerPlace(postgres, database)
