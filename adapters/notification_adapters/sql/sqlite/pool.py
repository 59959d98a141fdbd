"""Connections to an SQLite file that are lent for a transaction and stay open between them."""

import asyncio
import gc
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import quote

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

from notification_adapters.sql.sqlite.driver import SqliteConnection, connected, driver_of

BUSY_TIMEOUT = timedelta(seconds=5)
"""How long a transaction waits for another process that writes to the same file."""

_BUSY_PAUSE = timedelta(milliseconds=10)


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
        self._engine = _engine(path, pragmas)
        self._free = asyncio.Semaphore(size)
        self._idle: list[PooledConnection] = []
        self._torn = False
        self.size = size
        self.lent = 0

    @asynccontextmanager
    async def lend(self, begin: str | None = None) -> AsyncGenerator[PooledConnection]:
        """Lend a connection that begins a transaction so; what is not committed is rolled back.

        Where none is to be begun each statement is a transaction of its own.
        """
        async with self._free:
            self.lent += 1
            try:
                pooled = self._idle.pop() if self._idle else await self._connect()
                try:
                    if begin is not None:
                        pooled.driver.begin(begin)
                    yield pooled
                except BaseException:
                    await asyncio.shield(self._recover(pooled))
                    raise
                if begin is not None:
                    pooled.driver.roll_back()
                self._idle.append(pooled)
            finally:
                self.lent -= 1

    async def close(self) -> None:
        """Close all connections; none may be lent."""
        while self._idle:
            await self._idle.pop().connection.close()
        await self._engine.dispose()

    async def _connect(self) -> PooledConnection:
        if self._torn:
            # SQLite keeps a closed connection's lock until the last of its statements is gone, and
            # that one hangs in a cycle of the error's frames: unless it is collected, nobody could
            # write before the interpreter comes to it by itself.
            gc.collect()
            self._torn = False
        connection = await self._engine.connect()
        return PooledConnection(connection, cast("SqliteConnection", driver_of(connection)))

    async def _recover(self, pooled: PooledConnection) -> None:
        """Wait for the end of what was under way: a statement that nobody awaits still runs."""
        if pooled.connection.invalidated:
            # SQLAlchemy closes a connection whose statement is cancelled under way.
            self._torn = True
            await pooled.connection.close()
        else:
            await pooled.driver.rollback()
            self._idle.append(pooled)


def _engine(path: Path, pragmas: Sequence[str]) -> AsyncEngine:
    engine = create_async_engine(
        sa.URL.create(
            "sqlite+aiosqlite",
            database=f"file:{quote(str(path.absolute()))}",
            query={"mode": "rw", "uri": "true"},
        ),
        poolclass=NullPool,
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
