"""Connections to SQLite: one writer that all wait for in turn, and a pool of readers.

With SQLAlchemy's own transactions updates get lost without an error: a transaction that begins by
reading and then writes works on an old snapshot. So the driver begins nothing by itself, a writer
begins with ``BEGIN IMMEDIATE``, and whoever only reads may not write (``query_only``). Readers do
not begin immediately: they would wait for the writer.
"""

import asyncio
import contextlib
import gc
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

from notification_adapters.sql.engine import Database
from notification_adapters.sql.sqlite import steps
from notification_adapters.sql.sqlite.driver import begin, commit, connected, put_off, rollback
from notification_adapters.sql.sqlite.errors import map_commit_errors, map_errors
from notification_adapters.sql.sqlite.shortcuts import SqliteShortcuts
from notification_adapters.sql.steps import Queue, Steps
from notification_adapters.sql.visits import check_driver, naming_missing_tables, take_note
from notification_core.errors import IncompatibleSchema, StorageUnusable
from notification_core.ports.clock import Clock

OLDEST_SQLITE = (3, 35)
"""RETURNING and MATERIALIZED came with it."""

READERS = 4
BUSY_TIMEOUT = timedelta(seconds=5)
"""How long a transaction waits for another process that writes to the same file."""

_BUSY_PAUSE = timedelta(milliseconds=10)

_WRITER_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
_READER_PRAGMAS = ("query_only = ON",)

T = TypeVar("T")


class SqliteDatabase(Database):
    """An SQLite file. Close it by :func:`open_database`'s context."""

    one_writer = True
    schema = None

    def __init__(self, writer: AsyncEngine, readers: AsyncEngine, clock: Clock) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock
        self.shortcuts = SqliteShortcuts(self.transact, clock)
        # The pool would hand its one connection out in turn as well, but gives up after a time.
        self._turn = asyncio.Lock()
        self._idle: AsyncConnection | None = None
        self._torn = False

    @property
    def steps(self) -> Steps:
        """Return the batched steps in SQLite's SQL."""
        return steps

    async def now(self, connection: AsyncConnection) -> datetime:  # noqa: ARG002 - the clock of SQLite is the machine's
        """Return the clock's time."""
        return self._clock.now()

    async def moment(self, connection: AsyncConnection) -> tuple[int, datetime]:
        """Return the change counter and the clock's time."""
        return await steps.changes(connection), self._clock.now()

    async def look(
        self, connection: AsyncConnection, after: UUID | None, limit: int
    ) -> tuple[int, datetime, Sequence[Queue]]:
        """Return the change counter, the clock's time, and the next queues."""
        changes, _, queues = await steps.look(connection, after, limit)
        return changes, self._clock.now(), queues

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """Open the one transaction that may write; others wait for it in their order."""
        with map_errors():
            async with self._turn, self._writer_connection() as connection:
                begin(connection, "BEGIN IMMEDIATE")
                yield connection
                with map_commit_errors():
                    refused = await commit(connection)
                if refused:
                    raise refused

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work as the one transaction that may write, in one trip to the driver's thread."""
        done: list[T] = []
        async with self.writing() as connection:
            put_off(connection, lambda raw: done.append(work(raw)))
        return done[0]

    @asynccontextmanager
    async def _writer_connection(self) -> AsyncGenerator[AsyncConnection]:
        """Lend the writer's connection, which stays checked out between transactions.

        Taking it from the pool and ending SQLAlchemy's own transaction each time costs as much as
        four statements. After an error it goes back to the pool, and is rolled back or replaced.
        """
        connection = self._idle or await self._connected()
        self._idle = None
        try:
            yield connection
        except BaseException:
            # A statement that is cancelled under way has its connection closed by SQLAlchemy.
            self._torn = self._torn or connection.invalidated
            await asyncio.shield(_abandon(connection))
            raise
        self._idle = connection

    async def _connected(self) -> AsyncConnection:
        if self._torn:
            # SQLite keeps a closed connection's lock until the last of its statements is gone, and
            # that one hangs in a cycle of the error's frames: unless it is collected, nobody could
            # write before the interpreter comes to it by itself.
            gc.collect()
            self._torn = False
        return await self._writer.connect()

    async def close(self) -> None:
        """Close all connections; no transaction may be open."""
        if self._idle:
            await self._idle.close()
        await self._readers.dispose()
        await self._writer.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """Open a view of the database that no writer holds up."""
        with map_errors():
            async with self._readers.connect() as connection:
                try:
                    begin(connection)
                    yield connection
                finally:
                    await asyncio.shield(rollback(connection))

    def migrating(self) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction that may write: there is one at a time."""
        return self.writing()

    async def lock_environment(self, connection: AsyncConnection, environment_id: UUID) -> None:
        """Return: whoever writes is alone already."""

    @asynccontextmanager
    async def visiting(self, connection: AsyncConnection) -> AsyncGenerator[None]:
        """Have our tables found on somebody else's connection: they are in the same file."""
        check_driver(connection, "aiosqlite")
        with map_errors(), naming_missing_tables(sqlite3.OperationalError, "no such table"):
            await take_note(connection)
            yield

    @property
    def open_transactions(self) -> int:
        """How many transactions are open now: none while nothing happens."""
        pool = cast("AsyncAdaptedQueuePool", self._readers.pool)
        return pool.checkedout() + self._turn.locked()

    @property
    def most_transactions(self) -> int:
        """One that writes, and as many as there are readers."""
        return 1 + READERS


@asynccontextmanager
async def open_database(
    path: Path, clock: Clock, *, create: bool = False
) -> AsyncIterator[SqliteDatabase]:
    """Open an SQLite file; with ``create`` it is made where it is missing.

    Raises :class:`StorageUnusable` for what is no SQLite database, and
    :class:`IncompatibleSchema` where there is no file and none is to be made.
    """
    _check(path, create=create)
    mode = "rwc" if create else "rw"
    database = SqliteDatabase(
        writer=_engine(path, mode, _WRITER_PRAGMAS, size=1),
        readers=_engine(path, mode, _READER_PRAGMAS, size=READERS),
        clock=clock,
    )
    try:
        with naming(path):
            # The first connection sets the journal's mode, and so reads the file's head.
            async with database.writing():
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


def _engine(path: Path, mode: str, pragmas: Sequence[str], *, size: int) -> AsyncEngine:
    engine = create_async_engine(
        sa.URL.create(
            "sqlite+aiosqlite",
            database=f"file:{quote(str(path.absolute()))}",
            query={"mode": mode, "uri": "true"},
        ),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        # Every transaction is ended where it was begun.
        pool_reset_on_return=None,
        connect_args={"isolation_level": None, "async_creator_fn": connected},
        hide_parameters=True,  # errors are logged, and these are customers' data
    )
    busy = f"busy_timeout = {BUSY_TIMEOUT // timedelta(milliseconds=1)}"

    @sa.event.listens_for(engine.sync_engine, "connect")
    def configure(connection: AdaptedConnection, _: object) -> None:
        for pragma in (busy, *pragmas):
            connection.run_async(_statement(f"PRAGMA {pragma}"))

    return engine


def _statement(text: str) -> Callable[[aiosqlite.Connection], Awaitable[object]]:
    async def execute(driver: aiosqlite.Connection) -> None:
        # Of several who turn to the write-ahead log at once all but one are told at once that the
        # file is locked: SQLite does not wait here, whatever its busy_timeout.
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_busy),
            stop=stop_after_delay(BUSY_TIMEOUT),
            wait=wait_fixed(_BUSY_PAUSE),
            reraise=True,
        ):
            with attempt:
                await driver.execute_fetchall(text)

    return execute


def _is_busy(error: BaseException) -> bool:
    return (
        isinstance(error, sqlite3.OperationalError)
        and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    )


async def _abandon(connection: AsyncConnection) -> None:
    """Return a connection whose transaction went wrong to its pool."""
    try:
        await rollback(connection)
    finally:
        await connection.close()
