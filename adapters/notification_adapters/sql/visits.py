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


class Commits:
    """Calls back once transactions have committed that are not ours."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Task[None]] = set()

    def after(self, connection: HostConnection, committed: Callable[[], None]) -> None:
        """Call back once the transaction that is open on a connection has committed, if it does.

        SQLAlchemy tells of a commit before it happens: who looked then would find nothing yet.
        """
        ours = _transaction(connection.sync_connection)

        def note(committing: sa.Connection) -> None:
            if _transaction(committing) is ours:
                task = asyncio.get_running_loop().create_task(_after(connection, committed))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)

        sa.event.listen(connection.sync_connection, "commit", note, once=True)

    async def close(self) -> None:
        """Wait for no commit any more."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)


def _transaction(connection: sa.Connection | None) -> sa.Transaction | None:
    return connection.get_transaction() if connection else None


async def _after(connection: HostConnection, committed: Callable[[], None]) -> None:
    """Call back once a commit that has begun is over."""
    pause = 0.0
    while not connection.closed and connection.in_transaction():
        await asyncio.sleep(pause)
        pause = min(2 * pause + 0.001, _LONGEST_PAUSE)
    committed()


def check_driver(connection: AsyncConnection, driver: str) -> None:
    """Raise :class:`StorageUnusable` unless a connection is of the driver that we speak to."""
    if connection.dialect.driver != driver:
        raise StorageUnusable(
            f"The connection is over {connection.dialect.driver}; "
            f"this storage takes part only in transactions over {driver}."
        )


async def take_note(connection: AsyncConnection) -> None:
    """Let SQLAlchemy begin its transaction: it knows nothing of what goes straight to the driver.

    Without this it would find nothing to commit where our statements are the first ones.
    """
    await connection.execute(sa.select(1))


@contextmanager
def naming_missing_tables(error: type[Exception], words: str = "") -> Iterator[None]:
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
