"""What the tests of the SQLite adapter share: a file, its storage and a look at the driver."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import AdaptedConnection

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.sqlite import open_sqlite
from notification_adapters.sql.sqlite.driver import Work
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.model.event import Arrival, Event, EventToStore, body_of

SECRET = "0123456789abcdef0123456789abcdef"
CIPHER = Cipher(SECRET)
ENVIRONMENT_ID = UUID(int=7)


@contextmanager
def pragma(text: str) -> Iterator[None]:
    """Run a pragma on every connection that is opened meanwhile."""
    with _on_connect(lambda raw: raw.execute(f"PRAGMA {text}")):
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

    with _on_connect(lambda raw: raw.set_progress_handler(steps, 100)):
        yield steps


@contextmanager
def _on_connect(work: Work[object]) -> Iterator[None]:
    def configure(connection: AdaptedConnection, _: object) -> None:
        connection.run_async(lambda driver: driver.run(work))

    sa.event.listen(sa.Pool, "connect", configure)
    try:
        yield
    finally:
        sa.event.remove(sa.Pool, "connect", configure)


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


@asynccontextmanager
async def plans(storage: SqlStorage) -> AsyncIterator[list[str]]:
    """Give a list that has, once the block has ended, how SQLite reads for all that was asked.

    It is of the statements that go through SQLAlchemy, a line for each table.
    """
    said: list[tuple[str, Any]] = []
    lines: list[str] = []

    def note(*happened: Any) -> None:
        _, _, statement, values, *_ = happened
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            said.append((statement, values))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield lines
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    async with storage.database.read_transaction() as connection:
        for statement, values in said:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            lines += [row.detail for row in plan if row.detail.startswith(("SEARCH", "SCAN"))]
