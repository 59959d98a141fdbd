"""What the tests of the SQLite adapter share: a file, its storage and a look at the driver."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from uuid import UUID

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import AdaptedConnection

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.sqlite import open_sqlite
from notification_core.encryption import Cipher
from notification_core.events import Arrival, Event, EventToStore, body_of
from notification_core.ids import IdGenerator

SECRET = "0123456789abcdef0123456789abcdef"
CIPHER = Cipher(SECRET)
ENVIRONMENT_ID = UUID(int=7)


@contextmanager
def pragma(text: str) -> Iterator[None]:
    """Run a pragma on every connection that is opened meanwhile."""

    def configure(connection: AdaptedConnection, _: object) -> None:
        connection.run_async(lambda driver: driver.execute_fetchall(f"PRAGMA {text}"))

    with _on_connect(configure):
        yield


class Steps:
    """Counts the steps of SQLite's virtual machine, in hundreds: its work, whatever the machine."""

    def __init__(self) -> None:
        self.hundreds = 0

    def __call__(self) -> int:
        self.hundreds += 1
        return 0


@contextmanager
def counted_steps() -> Iterator[Steps]:
    """Count the work of every connection that is opened meanwhile."""
    steps = Steps()

    async def watch(driver: aiosqlite.Connection) -> None:
        await driver.set_progress_handler(steps, 100)

    def configure(connection: AdaptedConnection, _: object) -> None:
        connection.run_async(watch)

    with _on_connect(configure):
        yield steps


@contextmanager
def _on_connect(listener: Callable[[AdaptedConnection, object], None]) -> Iterator[None]:
    sa.event.listen(sa.Pool, "connect", listener)
    try:
        yield
    finally:
        sa.event.remove(sa.Pool, "connect", listener)


def opened(folder: Path) -> AbstractAsyncContextManager[SqlStorage]:
    """Open the database in a folder, which has been migrated, by the machine's clock."""
    clock = SystemClock()
    return open_sqlite(database(folder), CIPHER, clock, IdGenerator(clock))


def event(event_id: str, data: bytes = b"{}") -> EventToStore:
    """Return an event of the tests' one environment."""
    described = Event(event_id, ENVIRONMENT_ID, "job-created", SystemClock().now(), data)
    return EventToStore(described, body_of(described))


async def ingest(storage: SqlStorage, *events: EventToStore) -> list[Arrival]:
    """Store events without deliveries; return what the storage says of them."""
    async with storage.deliveries.ingesting() as transaction:
        arrivals = await transaction.add_events(events)
    return list(arrivals.values())


def database(folder: Path) -> Path:
    """Return the path of a test's database."""
    return folder / "notifications.sqlite"
