"""Connections to SQLite: each has a thread of its own, and a pool lends them.

Each trip to the thread has two threads wait to be woken, so as few are made as can be. What gives
no rows takes no trip at all: it goes with the next statement that gives some, or with the commit.
SQLAlchemy speaks to the connections by its own adapter for asyncio drivers.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from operator import methodcaller
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from notification_adapters.sql.dialect import RawRow
from notification_adapters.sql.sqlite.errors import DRIVER_ERRORS, CommitFailed, mapped_error

if TYPE_CHECKING:
    import aiosqlite
    from sqlalchemy.connectors.asyncio import AsyncIODBAPIConnection

    from notification_core.ports.storage import OnTransactionEnd

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BEGIN_WRITING: Final = methodcaller("execute", "BEGIN IMMEDIATE")
BEGIN_READING: Final = methodcaller("execute", "BEGIN")

_Trip = tuple[Sequence[Work[object]], Work[object], bool, "asyncio.Future[Any] | None"]
"""What was put off, what is asked for, whether to commit then, and who waits for it."""


class SqliteConnection:
    """A connection of SQLite, which can put work off until its next trip to its thread.

    Whatever is asked of it next, by whomever, comes after what was put off, and fails with it. A
    trip whose caller is cancelled is made all the same. The thread is a daemon, so that a process
    ends although a statement hangs, and has the interpreter's lock in common with everybody: work
    is to run statements, and to compute nothing that could be computed before.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._trips: SimpleQueue[_Trip | None] = SimpleQueue()
        self.put_off: list[Work[object]] = []
        """What is done before anything else, with the next trip."""
        self._is_stopped = False
        self._loop = asyncio.get_running_loop()
        self._tell = self._loop.call_soon_threadsafe
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()

    async def open(self) -> Self:
        """Open it. If its caller gives up meanwhile, it is closed once it is open."""
        Thread(target=self._serve, name="sqlite", daemon=True).start()
        try:
            await self._opened
        except BaseException:
            # Else the thread would go on for nobody, and report to a loop that is closed by then.
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Close it once all is done that was asked for before; closed again it stays closed."""
        self.stop()
        await asyncio.shield(self._closed)

    def stop(self) -> None:
        """Do as :meth:`close`, and wait for nothing."""
        self._is_stopped = True
        self._trips.put(None)

    async def run(self, work: Work[T], *, commits: bool = False) -> T:
        """Do what was put off and then this, in one trip; return what this returned.

        With ``commits`` the transaction that is open is committed then, within the same trip.
        Raises :class:`CommitFailed` if that fails: then, and where anything raises before, the
        transaction is left to be rolled back.
        """
        if self._is_stopped:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
        done: asyncio.Future[T] = self._loop.create_future()
        put_off, self.put_off = self.put_off, []
        self._trips.put((put_off, work, commits, done))
        return await done

    def cursor(self) -> "SqliteCursor":
        """Return a cursor that is made with its statement."""
        return SqliteCursor(self)

    async def commit(self) -> None:
        """Commit the transaction, if one is open."""
        await self.run(sqlite3.Connection.commit)

    async def rollback(self) -> None:
        """Roll back, and return once that is done and all that was asked for before.

        What was put off is not done at all.
        """
        self.put_off.clear()
        await self.run(sqlite3.Connection.rollback)

    def roll_back(self) -> None:
        """Do as :meth:`rollback`, before anything that is asked for later.

        Nobody waits for it, so nobody can be cancelled meanwhile.
        """
        self.put_off.clear()
        self._trips.put(((), sqlite3.Connection.rollback, False, None))

    def _serve(self) -> None:
        """Open the database, make all trips in their order, close it: what the thread does."""
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            try:
                raw = self._connect()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
                self._tell(_settle, self._opened, None, error)
            else:
                self._tell(_settle, self._opened, None, None)
                with closing(raw):
                    self._make_trips(raw)
            finally:
                self._tell(_settle, self._closed, None, None)

    def _make_trips(self, raw: sqlite3.Connection) -> None:
        for put_off, work, commits, done in iter(self._trips.get, None):
            result, failed = None, None
            try:
                for earlier in put_off:
                    earlier(raw)
                result = work(raw)
                if commits:
                    try:
                        raw.execute("COMMIT")
                    except sqlite3.Error as error:
                        raise CommitFailed(error) from error
            except BaseException as error:  # noqa: BLE001 - the same
                failed = error
            if done is not None:
                self._tell(_settle, done, result, failed)


def _settle(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():
        return  # its caller was cancelled
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class SqliteCursor:
    """A statement with all of its rows in one trip, as SQLAlchemy wants them anyhow.

    Other drivers take a trip to make one, to execute, to fetch and to close it.
    """

    arraysize = 1

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[RawRow] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        """Return it: there is nothing to do before its statement."""
        return self

    async def execute(self, statement: str, values: Any = ()) -> None:
        """Run one statement."""
        await self._run(lambda raw: raw.execute(statement, values))

    async def executemany(self, statement: str, rows: Any) -> None:
        """Run one statement for each row of values."""
        await self._run(lambda raw: raw.executemany(statement, rows))

    async def fetchall(self) -> list[RawRow]:
        """Return the rows."""
        return self._rows

    async def close(self) -> None:
        """Return: it is closed already."""

    async def _run(self, execute: Work[sqlite3.Cursor]) -> None:
        def run_whole(raw: sqlite3.Connection) -> tuple[list[RawRow], sqlite3.Cursor]:
            cursor = execute(raw)
            rows = cursor.fetchall()
            cursor.close()  # its description and counts stay
            return rows, cursor

        self._rows, cursor = await self._connection.run(run_whole)
        self.description, self.rowcount = cursor.description, cursor.rowcount
        self.lastrowid = cursor.lastrowid


class AdaptedSqliteConnection(AsyncAdapt_dbapi_connection):
    """A connection of ours, as SQLAlchemy's dialect for SQLite wants it."""

    __slots__ = ()

    def create_function(self, *arguments: Any, **named: Any) -> None:
        """Have SQL call a function of Python: the dialect makes some for each connection."""
        self.run_async(
            lambda driver: driver.run(lambda raw: raw.create_function(*arguments, **named))
        )

    def terminate(self) -> None:
        """Close a connection that was forgotten: nothing can be awaited here."""
        self.driver_connection.stop()


def _engine(connect: Callable[[], sqlite3.Connection]) -> AsyncEngine:
    """Return an engine whose connections are ours, over what ``connect`` opens in its thread."""

    def open_connection() -> AdaptedSqliteConnection:
        driver = SqliteConnection(connect)
        adapted = AdaptedSqliteConnection(sqlite3, cast("AsyncIODBAPIConnection", driver))
        adapted.run_async(SqliteConnection.open)
        return adapted

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        creator=open_connection,
        poolclass=NullPool,
        hide_parameters=True,  # errors are logged, and these are customers' data
    )
    sa.event.listen(engine.sync_engine, "handle_error", _keep)
    return engine


def _keep(context: sa.ExceptionContext) -> None:
    """Have a connection kept though the caller of its statement was cancelled.

    SQLAlchemy would close it; the pool waits for the statement to end, and rolls back.
    """
    context.is_disconnect = False


class PooledConnection(NamedTuple):
    """A connection as SQLAlchemy has it, and the driver's beneath."""

    connection: AsyncConnection
    driver: SqliteConnection


class SqlitePool:
    """At most so many connections, lent in the order in which they are asked for.

    SQLAlchemy's own pool costs as much as four statements each time, and begins and ends
    transactions of its own.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], size: int) -> None:
        self._engine = _engine(connect)
        self._free = asyncio.Semaphore(size)
        self._idle: list[PooledConnection] = []
        self.size = size
        self.lent = 0
        self.on_end: OnTransactionEnd = lambda *_: None

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[PooledConnection]:
        """Lend a connection; if the block raises, what is not committed is rolled back.

        What the driver raises within is raised as :func:`mapped_error` says.
        """
        asked = monotonic()
        async with self._free:
            lent = monotonic()
            self.lent += 1
            try:
                if self._idle:
                    pooled = self._idle.pop()
                else:
                    connection = await self._engine.connect()
                    driver = cast("SqliteConnection", driver_of(connection))
                    pooled = PooledConnection(connection, driver)
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
                self.on_end(lent - asked, monotonic() - lent)

    async def transact(self, work: Work[T]) -> T:
        """Do work as one transaction that writes, in one trip to a thread.

        Return what it returned, once that is committed.
        """
        async with self.lend() as (_, driver):
            driver.put_off.append(BEGIN_WRITING)
            return await driver.run(work, commits=True)

    async def close(self) -> None:
        """Close all connections; none may be lent."""
        while self._idle:
            await self._idle.pop().connection.close()
        await self._engine.dispose()

    async def _recover(self, pooled: PooledConnection) -> None:
        """Wait for the end of what was under way: a statement that nobody awaits still runs."""
        await pooled.driver.rollback()
        self._idle.append(pooled)


def driver_of(connection: AsyncConnection) -> "SqliteConnection | aiosqlite.Connection":
    """Return the driver's own connection: aiosqlite's for one of a host's, else one of ours."""
    # AsyncConnection.get_raw_connection() does the same through a greenlet, for 10 µs a call.
    raw = connection.sync_connection
    assert raw is not None  # noqa: S101 - for the type checker: the connection is open
    return cast("SqliteConnection | aiosqlite.Connection", raw.connection.driver_connection)
