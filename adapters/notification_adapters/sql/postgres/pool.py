"""Connections that are lent for a transaction and stay open between them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from notification_adapters.sql.postgres.commits import CommitTracker
from notification_adapters.sql.postgres.driver import driver_of, run
from notification_adapters.sql.postgres.errors import (
    is_of_the_driver,
    map_begin_errors,
    raise_mapped,
)
from notification_adapters.sql.postgres.server import PostgresConnection, Server
from notification_core.errors import StorageUnavailable

if TYPE_CHECKING:
    from notification_core.ports.storage import OnTransactionEnd

_WAIT_SECONDS: Final = 10.0
_ROLLBACK_SECONDS: Final = 2.0
_BEGIN_SECONDS: Final = 5.0
"""To begin waits for nobody: a connection on which it takes longer hangs."""


class PostgresPool:
    """At most so many connections, the one used last lent first.

    SQLAlchemy's own pool costs as much as a statement each time, and begins and ends transactions
    of its own. What is lent here is in no transaction, and is to come back in none.
    """

    def __init__(self, server: Server) -> None:
        self._engine = _engine(server)
        self.size = server.pool_size
        self._free = asyncio.Semaphore(server.pool_size)
        self._idle: list[AsyncConnection] = []
        self._returning: set[asyncio.Task[None]] = set()
        self.commits = CommitTracker(server)
        self.lent = 0
        self.on_end: OnTransactionEnd = lambda *_: None

    @asynccontextmanager
    async def lend(self, begin: str | None = None) -> AsyncGenerator[AsyncConnection]:
        """Lend a connection on which a transaction has been begun; who ends it has its end.

        Where none is to be begun each statement is a transaction of its own, and may have
        committed though it raises. What the driver raises is raised as :func:`raise_mapped` says,
        and :class:`StorageUnavailable` where no connection becomes free in time.
        """
        asked = monotonic()
        if not self._free.locked():
            await self._free.acquire()
        else:
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    await self._free.acquire()
            except TimeoutError:
                sentence = "No connection to the database became free in time."
                raise StorageUnavailable(sentence) from None
        self.lent += 1
        lent = monotonic()
        try:
            connection = await (self._open() if begin is None else self._open_with(begin))
        except BaseException as error:
            self._vacate()
            raise_mapped(error)
            raise
        driver = driver_of(connection)  # SQLAlchemy forgets the one of a connection that broke
        try:
            yield connection
        except BaseException as error:
            # In a task of its own: a caller that is cancelled twice neither leaves a transaction
            # open nor gives its place away before the connection has been returned.
            returning = asyncio.create_task(self._return_failed(connection, driver, error))
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)
            await asyncio.shield(returning)
            raise_mapped(error, commits=begin is None)
            raise
        self._idle.append(connection)
        self._vacate()
        self.on_end(lent - asked, monotonic() - lent)

    async def commit(self, connection: AsyncConnection, statement: str = "COMMIT") -> None:
        """Run a statement without values that commits; it is never cancelled.

        Raises :class:`TimeoutError` if the server does not respond in time: then the connection
        is closed, and counts as lent until its backend is gone.
        """
        await self.commits.run(driver_of(connection), statement)

    async def close(self) -> None:
        """Close all connections; none may be lent."""
        if self._returning:
            await asyncio.wait(self._returning)
        await self.commits.close()
        await self._forget_idle()
        await self._engine.dispose()

    async def _open(self) -> AsyncConnection:
        """Return an idle connection that has not been closed, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if not driver_of(connection).is_closed():
                return connection
            await asyncio.shield(_discard(connection))
        return await self._engine.connect()

    async def _open_with(self, begin: str) -> AsyncConnection:
        """Begin a transaction on an idle connection that still works, or on a new one."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await _begin(connection, begin)
            except BaseException as error:
                await asyncio.shield(_discard(connection))
                if not is_of_the_driver(error):
                    raise
                if isinstance(error, TimeoutError):
                    await self._forget_idle()
            else:
                return connection
        connection = await self._engine.connect()
        try:
            with map_begin_errors():
                await _begin(connection, begin)
        except BaseException:
            await asyncio.shield(_discard(connection))
            raise
        return connection

    async def _forget_idle(self) -> None:
        """Close what is idle: what has swallowed one response would cost as long on each."""
        while self._idle:
            await _discard(self._idle.pop())

    async def _return_failed(
        self, connection: AsyncConnection, driver: PostgresConnection, error: BaseException
    ) -> None:
        try:
            if isinstance(error.__cause__, TimeoutError):
                await self._forget_idle()
            await self._take_back(connection, fit=not is_of_the_driver(error))
        finally:
            self.commits.when_ended(driver, self._vacate)

    def _vacate(self) -> None:
        self.lent -= 1
        self._free.release()

    async def _take_back(self, connection: AsyncConnection, *, fit: bool) -> None:
        """Undo what is open; a connection on which something broke is not lent again."""
        if fit:
            with suppress(Exception):  # whatever is wrong with it, it is closed then
                async with asyncio.timeout(_ROLLBACK_SECONDS):
                    await run(connection, "ROLLBACK")
                self._idle.append(connection)
                return
        await _discard(connection)


def _engine(server: Server) -> AsyncEngine:
    async def connect(**_: object) -> object:
        return await server.connect()

    options: dict[str, object] = {"async_creator_fn": connect}
    if not server.prepared_statements:
        # Unnamed: behind a pooler, names of several clients would meet on one connection.
        options |= {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        # Transactions are begun and ended here: the driver is to begin none by itself.
        isolation_level="AUTOCOMMIT",
        connect_args=options,
        hide_parameters=True,  # errors are logged, and these are customers' data
    )
    if not server.prepared_statements:

        @sa.event.listens_for(engine.sync_engine, "connect")
        def end_first_transaction(connection: AdaptedConnection, _: object) -> None:
            connection.run_async(lambda driver: driver.execute("COMMIT"))

    return engine


async def _begin(connection: AsyncConnection, begin: str) -> None:
    await driver_of(connection).execute(begin, timeout=_BEGIN_SECONDS)


async def _discard(connection: AsyncConnection) -> None:
    """Close a connection, whatever state it is in."""
    with suppress(Exception):
        driver_of(connection).terminate()
    with suppress(Exception):
        await connection.close()
