"""What the tests of both SQL engines share: storages, by the machine's clock, and their rows."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final
from uuid import UUID

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import Server, open_postgres
from notification_adapters.sql.sqlite import open_sqlite
from notification_core.concurrency.ids import IdGenerator
from notification_core.model.event import Arrival, Event, EventToStore, body_of
from notification_core.model.webhook import Webhook
from tests.support.postgres_server import CIPHER
from tests.support.samples import a_webhook

ENVIRONMENT_ID: Final = UUID(int=7)


def database(folder: Path) -> Path:
    """Return the path of a test's SQLite database."""
    return folder / "notifications.sqlite"


def opened(where: Path | Server) -> AbstractAsyncContextManager[SqlStorage]:
    """Open the SQLite database in a folder, or one of PostgreSQL; it has been migrated."""
    clock = SystemClock()
    if isinstance(where, Path):
        return open_sqlite(database(where), CIPHER, clock, IdGenerator(clock))
    return open_postgres(where, CIPHER, clock, IdGenerator(clock))


def event(event_id: str, data: bytes = b"{}") -> EventToStore:
    """Return an event of the tests' one environment."""
    described = Event(event_id, ENVIRONMENT_ID, "job-created", SystemClock().now(), data)
    return EventToStore(described, body_of(described))


async def ingest(storage: SqlStorage, *events: EventToStore) -> list[Arrival]:
    """Store events without deliveries; return what the storage says of them."""
    async with storage.deliveries.ingesting() as transaction:
        arrivals = await transaction.add_events(events)
    return list(arrivals.values())


async def add_webhook(storage: SqlStorage) -> Webhook:
    """Store a webhook for the events of :func:`event`."""
    webhook = a_webhook(environment_id=ENVIRONMENT_ID, events=frozenset({"job-created"}))
    await storage.webhooks.add(webhook, most=10)
    return webhook
