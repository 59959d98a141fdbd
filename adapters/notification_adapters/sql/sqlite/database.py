"""Connections to SQLite: one writer that all wait for in turn, and a pool of readers.

With SQLAlchemy's own transactions updates get lost without an error: a transaction that begins by
reading and then writes works on an old snapshot. So the driver begins nothing by itself, a writer
begins with ``BEGIN IMMEDIATE``, and whoever only reads may not write (``query_only``). Readers do
not begin immediately: they would wait for the writer.
"""

import asyncio
import contextlib
import errno
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from notification_adapters.sql.database import Database
from notification_adapters.sql.host_transactions import (
    begin_implicitly,
    check_driver,
    explain_missing_tables,
)
from notification_adapters.sql.sqlite.dbapi import engine_of
from notification_adapters.sql.sqlite.dialect import SqliteDialect
from notification_adapters.sql.sqlite.driver import SqliteConnection, Work, driver_of, read
from notification_adapters.sql.sqlite.errors import DRIVER_ERRORS, map_errors, mapped_error
from notification_adapters.sql.statements import ResultRow, Statement
from notification_core.errors import IncompatibleSchema, StorageUnavailable, StorageUnusable
from notification_core.ports.clock import Clock

_OUT_OF_RESOURCES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO})

OLDEST_SQLITE = (3, 35)
"""RETURNING and MATERIALIZED came with it."""

BUSY_TIMEOUT = timedelta(seconds=5)
"""How long a transaction waits for another process that writes to the same file."""

_BUSY_PAUSE = timedelta(milliseconds=10)

READERS = 4
_WRITER_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
_READER_PRAGMAS = ("query_only = ON",)

T = TypeVar("T")

_BEGIN_WRITING = methodcaller("execute", "BEGIN IMMEDIATE")
_BEGIN_READING = methodcaller("execute", "BEGIN")


class PooledConnection(NamedTuple):
    """A connection as SQLAlchemy has it, and the driver's beneath."""

    connection: AsyncConnection
    driver: SqliteConnection


class SqlitePool:
    """At most so many connections, lent in the order in which they are asked for.

    SQLAlchemy's own pool costs as much as four statements each time, and begins and ends
    transactions of its own.
    """

    def __init__(self, path: Path, pragmas: Sequence[str], size: int) -> None:
        self._engine = engine_of(partial(_connect, path, pragmas))
        self._free = asyncio.Semaphore(size)
        self._idle: list[PooledConnection] = []
        self.size = size
        self.lent = 0

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[PooledConnection]:
        """Lend a connection; if the block raises, what is not committed is rolled back.

        What the driver raises within is raised as :func:`mapped_error` says.
        """
        async with self._free:
            self.lent += 1
            try:
                pooled = self._idle.pop() if self._idle else await self._open()
                try:
                    yield pooled
                except BaseException:
                    await asyncio.shield(self._recover(pooled))
                    raise
                self._idle.append(pooled)
            except DRIVER_ERRORS as error:
                if mapped := mapped_error(error):
                    raise mapped from error
                raise
            finally:
                self.lent -= 1

    async def close(self) -> None:
        """Close all connections; none may be lent."""
        while self._idle:
            await self._idle.pop().connection.close()
        await self._engine.dispose()

    async def _open(self) -> PooledConnection:
        connection = await self._engine.connect()
        return PooledConnection(connection, cast("SqliteConnection", driver_of(connection)))

    async def _recover(self, pooled: PooledConnection) -> None:
        """Wait for the end of what was under way: a statement that nobody awaits still runs."""
        await pooled.driver.rollback()
        self._idle.append(pooled)


class SqliteDatabase(Database):
    """An SQLite file. Close it by :func:`open_database`'s context."""

    has_one_writer = True
    schema = None

    def __init__(self, writer: SqlitePool, readers: SqlitePool, clock: Clock) -> None:
        self._writer = writer
        self._readers = readers
        self.clock = clock
        self.dialect = SqliteDialect(clock)

    @asynccontextmanager
    async def write_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open the one transaction that may write; others wait for it in their order."""
        async with self._writer.lend() as (connection, driver):
            driver.put_off.append(_BEGIN_WRITING)
            yield connection
            await driver.run(lambda _: None, commits=True)

    async def transact(self, work: Work[T]) -> T:
        """Do work as the one transaction that may write, in one trip to the driver's thread.

        Return what it returned, once that is committed.
        """
        async with self._writer.lend() as (_, driver):
            driver.put_off.append(_BEGIN_WRITING)
            return await driver.run(work, commits=True)

    async def close(self) -> None:
        """Close all connections; no transaction may be open."""
        await self._readers.close()
        await self._writer.close()

    @asynccontextmanager
    async def read_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open a view of the database that no writer holds up."""
        async with self._readers.lend() as (connection, driver):
            driver.put_off.append(_BEGIN_READING)
            yield connection
            driver.roll_back()

    async def fetch(self, statement: Statement, **values: object) -> Sequence[ResultRow]:
        """Run one statement that reads, and return its rows."""
        async with self._readers.lend() as (connection, _):
            return await read(connection, statement, values)

    @asynccontextmanager
    async def query(self) -> AsyncGenerator[AsyncConnection]:
        """Open the same for one statement alone."""
        async with self._readers.lend() as (connection, _):
            yield connection

    def migration_transaction(self) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction that may write: there is one at a time."""
        return self.write_transaction()

    async def lock_environment(self, connection: AsyncConnection, environment_id: UUID) -> None:
        """Return: whoever writes is alone already."""

    async def confirm_found(self, connection: AsyncConnection) -> None:
        """Return: a row is visible only once it has been synchronised to the disk."""

    async def check_commits(self) -> None:
        """Return: a commit waits for this machine's disk alone."""

    @asynccontextmanager
    async def borrow(self, connection: AsyncConnection) -> AsyncGenerator[None]:
        """Have our tables found on somebody else's connection: they are in the same file."""
        check_driver(connection, "aiosqlite")
        with map_errors(), explain_missing_tables(sqlite3.OperationalError, "no such table"):
            await begin_implicitly(connection)
            yield

    @property
    def open_transactions(self) -> int:
        """How many transactions are open now: none while nothing happens."""
        return self._writer.lent + self._readers.lent

    @property
    def max_transactions(self) -> int:
        """One that writes, and as many as there are readers."""
        return self._writer.size + self._readers.size


@asynccontextmanager
async def open_database(
    path: Path, clock: Clock, *, create: bool = False
) -> AsyncIterator[SqliteDatabase]:
    """Open an SQLite file; with ``create`` it is made where it is missing.

    Raises :class:`StorageUnusable` for what is no SQLite database, and
    :class:`IncompatibleSchema` where there is no file and none is to be made.
    """
    _check(path, create=create)
    _keep_private(path, create=create)
    database = SqliteDatabase(
        writer=SqlitePool(path, _WRITER_PRAGMAS, size=1),
        readers=SqlitePool(path, _READER_PRAGMAS, size=READERS),
        clock=clock,
    )
    try:
        with naming(path):
            # The first connection sets the journal's mode, and so reads the file's head.
            async with database.write_transaction():
                pass
        yield database
    finally:
        await database.close()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in the error of one that is broken."""
    try:
        yield
    except StorageUnusable as error:
        raise type(error)(f"{path}: {error}") from error.__cause__


def _check(path: Path, *, create: bool) -> None:
    """Say in words what the driver would only call unable to open, or a syntax error."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StorageUnusable(f"SQLite {oldest} is needed; this is {sqlite3.sqlite_version}.")
    if path.is_dir():
        raise StorageUnusable(f"{path} is a directory; name a file for the database in it.")
    if not path.parent.is_dir():
        raise StorageUnusable(f"The folder {path.parent} of the database does not exist.")
    if not create and not path.exists():
        raise IncompatibleSchema(
            f"There is no database {path} yet. Run `notification-management migrate`."
        )
    if not os.access(path.parent, os.W_OK):
        raise StorageUnusable(
            f"The folder {path.parent} is not writable: SQLite keeps files beside the database."
        )


def _keep_private(path: Path, *, create: bool) -> None:
    """Let only the file's owner read it, and what SQLite makes beside it with the same mode."""
    try:
        if create:
            # Only a new file is opened: closing a descriptor of one gives up the process's locks.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        for suffix in ("", "-wal", "-shm"):
            file = path.with_name(path.name + suffix)
            # What belongs to another user is that one's to protect.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                if file.stat().st_mode & 0o077:
                    file.chmod(0o600)
    except OSError as error:
        out_of_resources = error.errno in _OUT_OF_RESOURCES
        kind = StorageUnavailable if out_of_resources else StorageUnusable
        raise kind(f"{path} cannot be opened: {error.strerror}.") from error


def _connect(path: Path, pragmas: Sequence[str]) -> sqlite3.Connection:
    raw = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT.total_seconds(),
        isolation_level=None,  # the driver begins nothing by itself
    )
    try:
        for pragma in pragmas:
            # Of several who turn to the write-ahead log at once all but one are told at once that
            # the file is locked: SQLite does not wait here, whatever its busy timeout.
            for attempt in Retrying(
                retry=retry_if_exception(_is_busy),
                stop=stop_after_delay(BUSY_TIMEOUT),
                wait=wait_fixed(_BUSY_PAUSE),
                reraise=True,
            ):
                with attempt:
                    raw.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        raw.close()
        raise
    return raw


def _is_busy(error: BaseException) -> bool:
    return (
        isinstance(error, sqlite3.OperationalError)
        and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    )
