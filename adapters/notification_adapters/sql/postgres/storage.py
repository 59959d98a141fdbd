"""Opening a PostgreSQL database: all its stores as one object."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from uuid import UUID

from attrs import evolve

from notification_adapters.sql.postgres.database import PostgresDatabase, open_database
from notification_adapters.sql.postgres.deliveries import PostgresDeliveryStore
from notification_adapters.sql.postgres.dialect import Now, server_time
from notification_adapters.sql.postgres.locks import LockSession, SessionWorkerLock
from notification_adapters.sql.postgres.notifier import PostgresNotifier
from notification_adapters.sql.postgres.server import Server
from notification_adapters.sql.storage import SqlStorage, check, migrate, open_stores
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.model.message import Topics
from notification_core.ports.clock import Clock


@asynccontextmanager
async def open_postgres(  # noqa: PLR0913 - what a storage is made of
    server: Server,
    cipher: Cipher,
    clock: Clock,
    ids: IdGenerator,
    now: Now = server_time,
    *,
    topics: Topics | None = None,
    operational_environment: UUID | None = None,
) -> AsyncGenerator[SqlStorage]:
    """Open a database that has been migrated.

    With ``topics`` its outbox is filled: somebody is to send what is in it. With an
    ``operational_environment`` operational events are kept for its webhooks.
    Schedules and leases go by ``now``, the server's clock; ``clock`` only measures durations.
    Raises :class:`StorageUnusable` where the server does not let us in,
    :class:`IncompatibleSchema` where the schema does not fit, :class:`WrongEncryptionSecret`
    where it was written under another secret, and :class:`StorageUnavailable`.
    """
    async with open_database(server, now) as database:
        await check(database, cipher)
        channel = f"{server.schema or 'notification'}_deliveries"
        notifier = PostgresNotifier(database.pool, channel)
        lock = SessionWorkerLock(LockSession(server, channel, notifier.on_notify), database, clock)
        store = partial(PostgresDeliveryStore, database)
        targets = topics, operational_environment
        parts = database, cipher, ids, lock, notifier, *targets, store
        async with open_stores(*parts) as storage:
            yield storage


async def migrate_postgres(server: Server, cipher: Cipher) -> str | None:
    """Bring a database's schema, which may be empty, to this version's.

    Returns the schema that it had, None if it was empty; others that migrate wait. Raises as
    :func:`open_postgres` does.
    """
    patient = evolve(server, response_seconds=None)  # an index of a large table takes its time
    async with open_postgres_database(patient) as database:
        return await migrate(database, cipher)


def open_postgres_database(server: Server) -> AbstractAsyncContextManager[PostgresDatabase]:
    """Open a database for a look at its schema."""
    return open_database(server, server_time)
