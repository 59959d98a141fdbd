"""SQLite's driver in as few trips to its thread as can be: each has two threads wait to be woken.

A statement through SQLAlchemy takes one. What is written here straight to the driver, for the steps
whose cost counts, builds no result object either: it hands over plain tuples and gives plain tuples
back, so identifiers are 32 hex digits here and instants are microseconds. What gives no answer
takes no trip at all: it goes with the next statement that gives one, or with the commit.

What the driver raises is put in the words of the ports here, too.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

import aiosqlite
import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import RawRow
from notification_core.errors import (
    NotificationError,
    StorageUnavailable,
    StorageUnusable,
    UnknownCommit,
)

Value = str | int | bytes | None
Work = Callable[[sqlite3.Connection], object]
T = TypeVar("T")

# The extended codes carry more in their upper bits.
_PRIMARY_CODE = 0xFF

_AWAY = {
    sqlite3.SQLITE_BUSY: "The database is busy: another process holds it.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another statement.",
    sqlite3.SQLITE_NOMEM: "There is not enough memory for the database.",
    sqlite3.SQLITE_READONLY: "The database is read-only.",
    sqlite3.SQLITE_INTERRUPT: "The database was interrupted.",
    sqlite3.SQLITE_IOERR: "The database's disk cannot be read or written.",
    sqlite3.SQLITE_FULL: "The database's disk is full.",
    sqlite3.SQLITE_CANTOPEN: "The database's file cannot be opened.",
    sqlite3.SQLITE_PROTOCOL: "The database's locks are contended.",
}
_BROKEN = {
    sqlite3.SQLITE_CORRUPT: "The database is corrupt: restore it from a backup.",
    sqlite3.SQLITE_NOTADB: "The file is not an SQLite database.",
}
_CERTAINLY_NOT_COMMITTED = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}
)

_encode = msgspec.json.Encoder().encode


class CommitFailed(Exception):
    """A commit raised an error: whether it happened may be unknown."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(str(error))
        self.error = error


class SqliteCursor(aiosqlite.Cursor):
    """A statement with all of its rows in one trip, as SQLAlchemy wants them anyhow.

    The driver's own takes a trip to be made, to execute, to fetch and to be closed.
    """

    def __init__(self, connection: "SqliteConnection") -> None:
        super().__init__(connection, cast("sqlite3.Cursor", None))
        self._connection = connection
        self._rows: Iterable[sqlite3.Row] = ()

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> "SqliteCursor":
        """Run one statement."""
        return await self._run(sqlite3.Connection.execute, sql, parameters or ())

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> "SqliteCursor":
        """Run one statement for each row of values."""
        return await self._run(sqlite3.Connection.executemany, sql, parameters)

    async def fetchall(self) -> Iterable[sqlite3.Row]:
        """Return the rows."""
        return self._rows

    async def close(self) -> None:
        """Return: it is closed already."""

    async def _run(self, run: Callable[..., sqlite3.Cursor], *args: object) -> "SqliteCursor":
        self._cursor, self._rows = await self._connection.run_whole(run, *args)
        return self


class SqliteConnection(aiosqlite.Connection):
    """A connection of ours, which can put work off until its next trip to the driver's thread.

    Whatever is asked of it next, by whomever, comes after what was put off, and fails with it.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection], iter_chunk_size: int) -> None:
        super().__init__(self._open, iter_chunk_size)
        self._open_database = connector
        self._opened: sqlite3.Connection | None = None
        self._thread.daemon = True
        self._put_off: list[Work] = []
        self._in_transaction = False
        self._stopped: asyncio.Future[object] | None = None

    def _open(self) -> sqlite3.Connection:
        self._opened = self._open_database()
        return self._opened

    def _close_unused(self) -> None:
        """Close what was opened after its caller had given up: the driver does not know of it."""
        if self._connection is None and self._opened is not None:
            self._opened.close()

    def stop(self) -> "asyncio.Future[object] | None":
        """End the thread after what was asked of it; what is returned says when."""
        self._tx.put_nowait((None, self._close_unused))
        self._stopped = super().stop()
        return self._stopped

    async def _connect(self) -> "SqliteConnection":
        try:
            await super()._connect()
        except BaseException:
            # The driver stops the thread without waiting for it: by then the loop may be closed.
            if self._stopped is not None:
                await asyncio.shield(self._stopped)
            raise
        return self

    def cursor(self) -> SqliteCursor:  # type: ignore[override]  # the driver's is one to await or to enter; SQLAlchemy enters it
        """Return a cursor that is made with its statement."""
        return SqliteCursor(self)

    async def run_whole(
        self, run: Callable[..., sqlite3.Cursor], *args: object
    ) -> tuple[sqlite3.Cursor, Iterable[sqlite3.Row]]:
        """Return a statement's cursor, closed, and all of its rows."""
        return await self._execute(_whole, self._conn, run, *args)

    def begin(self, how: str) -> None:
        """Begin a transaction; that it cannot be is said by what comes next."""
        self._in_transaction = True
        self._put_off.append(lambda raw: raw.execute(how))

    def put_off(self, work: Work) -> None:
        """Do this before anything else, with the next trip to the driver's thread or the commit.

        That thread has the interpreter's lock in common with everybody: the work is to run
        statements, and to compute nothing that could be computed before.
        """
        self._put_off.append(work)

    async def commit_all(self) -> None:
        """Do what was put off and commit; raise :class:`CommitFailed` if that fails."""
        await self._execute(_commit, self._conn)
        self._in_transaction = False

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work as one transaction in one trip; return what it returned, once it is committed.

        Nothing may have been put off. Where it raises, the transaction is left to be rolled back.
        """
        done = await super()._execute(_transacted, self._conn, work)  # type: ignore[no-untyped-call]  # the driver has no types here
        return cast("T", done)

    def roll_back(self) -> None:
        """Have all rolled back before anything else is done; what was put off is not done at all.

        Nobody waits for it, so nobody can be cancelled meanwhile.
        """
        self._put_off.clear()
        if self._in_transaction:
            self._in_transaction = False
            self._tx.put_nowait((None, self._conn.rollback))

    async def rollback(self) -> None:
        """Roll back, and return once that is done and all that was asked for before."""
        self._put_off.clear()
        self._in_transaction = False
        await super().rollback()

    async def _execute(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if self._put_off:
            put_off, self._put_off = self._put_off, []
            fn = partial(_after, self._conn, put_off, fn)
        return cast("T", await super()._execute(fn, *args, **kwargs))  # type: ignore[no-untyped-call]  # the driver has no types here


def connected(path: str, **options: Any) -> SqliteConnection:
    """Return a connection that opens when it is awaited."""
    return SqliteConnection(partial(sqlite3.connect, path, **options), iter_chunk_size=64)


def _bound(statement: str, values: Sequence[Value]) -> Any:
    """Return the values as the statement's placeholders want them, which are ``?`` or ``?1`` ….

    Python takes numbered ones for names: since 3.12 a sequence for them is deprecated.
    """
    if "?1" not in statement:
        return values
    return {str(number): value for number, value in enumerate(values, 1)}


async def fetch(connection: AsyncConnection, statement: str, *values: Value) -> list[RawRow]:
    """Run one statement and return all its rows."""
    driver = driver_of(connection)
    return cast("list[RawRow]", await driver.execute_fetchall(statement, _bound(statement, values)))


async def run_many(
    connection: AsyncConnection, statement: str, rows: Sequence[Sequence[Value]]
) -> None:
    """Run one statement for each row of values, by the next statement at the latest."""
    if not rows:
        return
    driver = driver_of(connection)
    values = [_bound(statement, row) for row in rows]
    if isinstance(driver, SqliteConnection):
        driver.put_off(lambda raw: raw.executemany(statement, values))
    else:  # somebody else's, in whose transaction this takes part
        await driver.executemany(statement, values)


def as_json(values: Iterable[object]) -> str:
    """Return a list for ``json_each``: the way to hand a set of keys to one statement."""
    return _encode(list(values)).decode()


def driver_of(connection: AsyncConnection) -> aiosqlite.Connection:
    """Return the driver's own connection: a :class:`SqliteConnection`, but for a host's."""
    # AsyncConnection.get_raw_connection() does the same through a greenlet, for 10 µs a call.
    raw = connection.sync_connection
    assert raw is not None  # noqa: S101 - for the type checker: the connection is open
    return cast("aiosqlite.Connection", raw.connection.driver_connection)


@contextmanager
def map_errors() -> Iterator[None]:
    """Raise what the driver raises as :class:`StorageUnavailable` or :class:`StorageUnusable`.

    For a commit whose outcome may be unknown that is :class:`UnknownCommit`. What none of them fits
    is a mistake of ours and passes as it is.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StorageUnavailable("No connection to the database became free in time.") from error
    except (sqlite3.Error, DBAPIError) as error:
        if mapped := _mapped(error):
            raise mapped from error
        raise
    except CommitFailed as failed:
        raise _mapped(failed.error, commits=True) or failed.error from failed


def _mapped(error: BaseException, *, commits: bool = False) -> NotificationError | None:
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code in _BROKEN:
        return StorageUnusable(_BROKEN[code])
    if code not in _AWAY:
        return None
    if commits and code not in _CERTAINLY_NOT_COMMITTED:
        return UnknownCommit(f"{_AWAY[code]} Whether the commit happened is not known.")
    return StorageUnavailable(_AWAY[code])


def _whole(
    raw: sqlite3.Connection, run: Callable[..., sqlite3.Cursor], *args: object
) -> tuple[sqlite3.Cursor, Iterable[sqlite3.Row]]:
    cursor = run(raw, *args)
    rows = cursor.fetchall()
    cursor.close()  # its description and counts stay
    return cursor, rows


def _after(
    raw: sqlite3.Connection, put_off: Sequence[Work], work: Callable[..., T], *args: Any
) -> T:
    for put_off_work in put_off:
        put_off_work(raw)
    return work(*args)


def _transacted(raw: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    raw.execute("BEGIN IMMEDIATE")
    result = work(raw)
    try:
        raw.execute("COMMIT")
    except sqlite3.Error as error:
        raise CommitFailed(error) from error
    return result


def _commit(raw: sqlite3.Connection) -> None:
    try:
        raw.execute("COMMIT")
    except sqlite3.Error as error:
        raise CommitFailed(error) from error
