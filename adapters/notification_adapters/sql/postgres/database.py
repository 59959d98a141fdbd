"""PostgreSQL as the stores see it: transactions on pooled connections, by the server's clock."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.postgres_uri import parse_postgres_uri
from notification_adapters.sql.database import Database
from notification_adapters.sql.host_transactions import (
    begin_implicitly,
    check_driver,
    explain_missing_tables,
)
from notification_adapters.sql.postgres.dialect import Now, PostgresDialect
from notification_adapters.sql.postgres.driver import driver_of, fetch, read, run
from notification_adapters.sql.postgres.errors import CONNECTION_LOST, map_errors
from notification_adapters.sql.postgres.pool import PostgresPool
from notification_adapters.sql.postgres.server import Server
from notification_adapters.sql.statements import ResultRow, Statement
from notification_core.errors import StorageUnavailable, StorageUnusable
from notification_core.ports.storage import OnTransactionEnd

CONFIRM = "SELECT pg_logical_emit_message(true, 'notification-management', '')"
"""Writes to the log, so that the commit waits for a synchronous standby as far as this record.

A transaction that only finds rows does not wait; what it found may be visible on the primary alone,
after a commit whose wait for the standby was cancelled.
"""

_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

# The two-number keys of advisory locks, and the one-number ones, are kinds of their own: workers'
# locks are of the latter.
_ENVIRONMENT_LOCK: Final = 0x6E6D01
_LOCK_ENVIRONMENT: Final = f"SELECT pg_advisory_xact_lock({_ENVIRONMENT_LOCK}, $1)"
_SCHEMA: Final = "SELECT 1 FROM pg_namespace WHERE nspname = $1"
_LONG: Final = 3600.0
_LOCAL_SEARCH_PATH: Final = "SELECT set_config('search_path', $1, true)"
_LONGEST_COMMIT: Final = timedelta(seconds=5)
_LONGEST_READ: Final = 5.0
_PROBE_AFTER: Final = timedelta(seconds=10)
_LOCK_MIGRATION: Final = "SELECT pg_advisory_xact_lock(7236837, 0)"


class PostgresDatabase(Database):
    """A PostgreSQL database. Close it by :func:`open_database`'s context."""

    has_one_writer = False

    def __init__(self, server: Server, now: Now) -> None:
        self.schema = server.schema
        self.pool = PostgresPool(server)
        self.dialect = PostgresDialect(now)
        self._search_path = server.search_path
        # Where the session keeps no settings, each transaction begins by making them.
        self.has_session_settings = server.prepared_statements
        self._write = _WRITE + server.begin_prefix
        self._read = _READ + server.begin_prefix

    @asynccontextmanager
    async def write_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction beside those of others."""
        async with self.pool.lend(self._write) as connection:
            yield connection
            with map_errors(commits=True):
                await self.pool.commit(connection)

    @asynccontextmanager
    async def read_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open a view of one moment."""
        async with self.pool.lend(self._read) as connection:
            yield connection
            await run(connection, "COMMIT")

    def query(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open the same for one statement: its begin finds out whether a connection still works."""
        return self.read_transaction()

    async def fetch(self, statement: Statement, **values: object) -> Sequence[ResultRow]:
        """Run one statement that reads, in one trip, and return its rows.

        If the connection was lost while it was idle, the statement is run in a transaction, whose
        begin finds one that works.
        """
        with map_errors():
            if self.has_session_settings:
                with suppress(*CONNECTION_LOST):
                    async with self.pool.lend() as connection:
                        return await read(connection, statement, values, _LONGEST_READ)
            async with self.read_transaction() as connection:
                return await read(connection, statement, values)

    async def confirm_found(self, connection: AsyncConnection) -> None:
        """Write a record to the log, without which a commit waits for no standby."""
        await run(connection, CONFIRM)

    async def check_commits(self) -> None:
        """Raise if a commit hangs; commit a probe if nothing has been committed for a while."""
        commits = self.pool.commits
        if commits.oldest_age > _LONGEST_COMMIT:
            seconds = round(commits.oldest_age.total_seconds())
            raise StorageUnavailable(
                f"A commit has not finished for {seconds} s. If the database has a synchronous "
                "standby, check that it is connected."
            )
        if commits.idle_for > _PROBE_AFTER and not commits.oldest_age:
            async with self.write_transaction() as connection:
                await self.confirm_found(connection)

    @asynccontextmanager
    async def migration_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction that waits for other migrations, and may take its time."""
        async with self.write_transaction() as connection:
            await run(connection, "SET LOCAL statement_timeout = 0")
            await driver_of(connection).execute(_LOCK_MIGRATION, timeout=_LONG)
            if self.schema is not None and not await fetch(connection, _SCHEMA, self.schema):
                await run(connection, f'CREATE SCHEMA "{self.schema}"')
            yield connection

    async def lock_environment(self, connection: AsyncConnection, environment_id: UUID) -> None:
        """Let others that lock the same environment wait until this transaction ends."""
        # Two that share their last four bytes wait for each other without need: that is all.
        key = int.from_bytes(environment_id.bytes[-4:], signed=True)
        await fetch(connection, _LOCK_ENVIRONMENT, key)

    @asynccontextmanager
    async def borrow(self, connection: AsyncConnection) -> AsyncGenerator[None]:
        """Have our tables found on somebody else's connection, then theirs again."""
        check_driver(connection, "asyncpg")
        with map_errors(), explain_missing_tables(asyncpg.UndefinedTableError):
            await begin_implicitly(connection)
            if self._search_path is None:
                yield
                return
            ((theirs,),) = await fetch(connection, "SELECT current_setting('search_path')")
            await fetch(connection, _LOCAL_SEARCH_PATH, self._search_path)
            yield
            # Where the block fails their transaction has failed, and ends with what was set.
            await fetch(connection, _LOCAL_SEARCH_PATH, theirs)

    def observe_transactions(self, on_end: OnTransactionEnd) -> None:
        """Call back whenever a transaction has ended."""
        self.pool.on_end = on_end

    @property
    def open_transactions(self) -> int:
        """How many transactions are open now: none while nothing happens."""
        return self.pool.lent

    @property
    def max_transactions(self) -> int:
        """The limit of connections."""
        return self.pool.size

    async def close(self) -> None:
        """Close all connections; no transaction may be open."""
        await self.pool.close()


@asynccontextmanager
async def open_database(server: Server, now: Now) -> AsyncIterator[PostgresDatabase]:
    """Open a database; raise :class:`StorageUnavailable` if its server does not respond.

    Raises :class:`StorageUnusable` unless the database's encoding is UTF-8.
    """
    database = PostgresDatabase(server, now)
    try:
        try:
            async with database.read_transaction() as connection:
                ((encoding,),) = await fetch(connection, "SHOW server_encoding")
        except StorageUnavailable as error:
            place = parse_postgres_uri(server.uri).place
            raise StorageUnavailable(f"{error} It is {place}.") from error
        if encoding != "UTF8":
            raise StorageUnusable(
                f"The database's encoding is {encoding}, and must be UTF8: what customers and "
                "receivers send could not be stored. Recreate the database with CREATE DATABASE … "
                "ENCODING 'UTF8' TEMPLATE template0."
            )
        yield database
    finally:
        await database.close()
