"""Taking part in the transactions of a host's own connections."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_core.errors import StorageUnusable

HostConnection = AsyncConnection
"""A connection of the host's, over the driver that the storage speaks to."""

_LONGEST_PAUSE = 0.05


class CommitHooks:
    """Calls back once transactions have committed that are not ours."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Task[None]] = set()

    def after(self, connection: HostConnection, committed: Callable[[], None]) -> None:
        """Call back once the transaction that is open on a connection has committed, if it does.

        SQLAlchemy tells of a commit before it happens: who looked then would find nothing yet.
        """

        async def call_back() -> None:
            if await watched.has_committed():
                committed()

        def wait() -> None:
            task = asyncio.get_running_loop().create_task(call_back())
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

        sync_connection = connection.sync_connection
        assert sync_connection is not None  # noqa: S101 - for the type checker: it is open
        watched = _Watched(sync_connection, wait)

    async def close(self) -> None:
        """Wait for no commit any more."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)


class _Watched:
    """The transaction that is open on a connection, until its end."""

    def __init__(self, connection: sa.Connection, committing: Callable[[], None]) -> None:
        self._connection = connection
        self._transaction = connection.get_transaction()
        self._committing = committing
        self._has_begun = self._has_failed = False
        self._listeners: list[tuple[object, str, Callable[..., None]]] = [
            (connection, "commit", self._commits),
            (connection, "rollback", self._rolls_back),
            (connection.engine, "handle_error", self._fails),
        ]
        for target, name, listener in self._listeners:
            sa.event.listen(target, name, listener)

    async def has_committed(self) -> bool:
        """Tell whether a commit that has begun came to its end.

        One that fails leaves its transaction where it is until the host rolls it back, and an
        error is raised for it: a host may roll back before this looks.
        """
        pause, transaction = 0.0, self._transaction
        while self._is_current and transaction is not None and transaction.is_active:
            await asyncio.sleep(pause)
            pause = min(2 * pause + 0.001, _LONGEST_PAUSE)
        self._stop_listening()
        return not (self._is_current or self._has_failed)

    @property
    def _is_current(self) -> bool:
        return self._connection.get_transaction() is self._transaction

    def _commits(self, _: sa.Connection) -> None:
        if self._is_current:
            self._has_begun = True
            self._committing()

    def _fails(self, context: sa.ExceptionContext) -> None:
        if self._has_begun and context.connection is self._connection and self._is_current:
            self._has_failed = True

    def _rolls_back(self, _: sa.Connection) -> None:
        if self._is_current:
            # Later: SQLAlchemy is going through the listeners.
            asyncio.get_running_loop().call_soon(self._stop_listening)

    def _stop_listening(self) -> None:
        """Listen no more: a connection of the host's may live long, and publish often."""
        for target, name, listener in self._listeners:
            sa.event.remove(target, name, listener)
        self._listeners = []


def check_driver(connection: AsyncConnection, driver: str) -> None:
    """Raise :class:`StorageUnusable` unless a connection is of the driver that we speak to."""
    if connection.dialect.driver != driver:
        raise StorageUnusable(
            f"The connection is over {connection.dialect.driver}; "
            f"this storage takes part only in transactions over {driver}."
        )


async def begin_implicitly(connection: AsyncConnection) -> None:
    """Let SQLAlchemy begin its transaction: it knows nothing of what goes straight to the driver.

    Without this it would find nothing to commit where our statements are the first ones.
    """
    await connection.execute(sa.select(1))


@contextmanager
def explain_missing_tables(error: type[Exception], words: str = "") -> Iterator[None]:
    """Say in words what it means where our tables are not there."""
    try:
        yield
    except error as missing:
        if words not in str(missing):
            raise
        raise StorageUnusable(
            "The connection is to a database that does not hold our tables: publish on a "
            "connection to the database that DB_URI names, once it is migrated."
        ) from missing
