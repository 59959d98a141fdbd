"""Connections to SQLite: one writer that all wait for in turn, and a pool of readers.

With SQLAlchemy's own transactions updates get lost without an error: a transaction that begins by
reading and then writes works on an old snapshot. So the driver begins nothing by itself, a writer
begins with ``BEGIN IMMEDIATE``, and whoever only reads may not write (``query_only``). Readers do
not begin immediately: they would wait for the writer.
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
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
from notification_adapters.sql.sqlite.connections import (
    BEGIN_READING,
    BEGIN_WRITING,
    SqlitePool,
)
from notification_adapters.sql.sqlite.dialect import SqliteDialect
from notification_adapters.sql.sqlite.driver import read
from notification_adapters.sql.sqlite.errors import map_errors
from notification_adapters.sql.statements import ResultRow, Statement
from notification_core.errors import IncompatibleSchema, StorageUnavailable, StorageUnusable
from notification_core.ports.clock import Clock
from notification_core.ports.storage import OnTransactionEnd

_OUT_OF_RESOURCES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO})

OLDEST_SQLITE = (3, 35)
"""RETURNING and MATERIALIZED came with it."""

BUSY_TIMEOUT = timedelta(seconds=5)
"""How long a transaction waits for another process that writes to the same file."""

_BUSY_PAUSE = timedelta(milliseconds=10)

READERS = 4
_WRITER_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
_READER_PRAGMAS = ("query_only = ON",)


class SqliteDatabase(Database):
    """An SQLite file. Close it by :func:`open_database`'s context."""

    has_one_writer = True
    schema = None

    def __init__(self, writer: SqlitePool, readers: SqlitePool, clock: Clock) -> None:
        self.writer = writer
        self._readers = readers
        self.clock = clock
        self.dialect = SqliteDialect(clock)

    @asynccontextmanager
    async def write_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open the one transaction that may write; others wait for it in their order."""
        async with self.writer.lend() as (connection, driver):
            driver.put_off.append(BEGIN_WRITING)
            yield connection
            await driver.run(lambda _: None, commits=True)

    async def close(self) -> None:
        """Close all connections; no transaction may be open."""
        await self._readers.close()
        await self.writer.close()

    @asynccontextmanager
    async def read_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open a view of the database that no writer holds up."""
        async with self._readers.lend() as (connection, driver):
            driver.put_off.append(BEGIN_READING)
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
        """Return: a commit waits for this host's disk alone."""

    @asynccontextmanager
    async def borrow(self, connection: AsyncConnection) -> AsyncGenerator[None]:
        """Have our tables found on somebody else's connection: they are in the same file."""
        check_driver(connection, "aiosqlite")
        with map_errors(), explain_missing_tables(sqlite3.OperationalError, "no such table"):
            await begin_implicitly(connection)
            yield

    def observe_transactions(self, on_end: OnTransactionEnd) -> None:
        """Call back whenever a transaction has ended."""
        self.writer.on_end = self._readers.on_end = on_end

    @property
    def open_transactions(self) -> int:
        """How many transactions are open now: none while nothing happens."""
        return self.writer.lent + self._readers.lent

    @property
    def max_transactions(self) -> int:
        """One that writes, and as many as there are readers."""
        return self.writer.size + self._readers.size


@asynccontextmanager
async def open_database(
    path: Path, clock: Clock, *, create: bool = False
) -> AsyncIterator[SqliteDatabase]:
    """Open an SQLite file; with ``create`` it is made where it is missing.

    Raises :class:`StorageUnusable` for what is no SQLite database, and
    :class:`IncompatibleSchema` if there is no file and none is to be made.
    """
    _check(path, create=create)
    _keep_private(path, create=create)
    database = SqliteDatabase(
        writer=SqlitePool(partial(_connect, path, _WRITER_PRAGMAS), size=1),
        readers=SqlitePool(partial(_connect, path, _READER_PRAGMAS), size=READERS),
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
            f"There is no database at {path}. Create it by `notification-management migrate`."
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
