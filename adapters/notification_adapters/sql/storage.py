"""Opening a database: all its stores as one object."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_adapters.sql.api_keys import SqlApiKeyStore
from notification_adapters.sql.backlog import SqlBacklog
from notification_adapters.sql.deliveries import SqlDeliveryStore
from notification_adapters.sql.engine import Database, naming, open_database
from notification_adapters.sql.history import SqlHistory
from notification_adapters.sql.idempotency import KeptAnswers, SqlIdempotencyStore
from notification_adapters.sql.keys import SqlKeyStore
from notification_adapters.sql.logs import SqlLogStore
from notification_adapters.sql.migrations import schema
from notification_adapters.sql.replays import SqlReplayStore
from notification_adapters.sql.trials import SqlTrialStore
from notification_adapters.sql.webhook_rows import WebhookRows
from notification_adapters.sql.webhooks import SqlWebhookStore
from notification_adapters.sql.workers import FileWorkerLock
from notification_core.encryption import Cipher
from notification_core.ids import IdGenerator
from notification_core.ports.clock import Clock
from notification_core.ports.workers import WorkerLock


@frozen
class SqlStorage:
    """The stores of one database."""

    database: Database
    webhooks: SqlWebhookStore
    deliveries: SqlDeliveryStore
    keys: SqlKeyStore
    api_keys: SqlApiKeyStore
    logs: SqlLogStore
    history: SqlHistory
    backlog: SqlBacklog
    idempotency: SqlIdempotencyStore
    replays: SqlReplayStore
    trials: SqlTrialStore
    worker_lock: WorkerLock

    async def ping(self) -> None:
        """Raise :class:`StorageUnavailable` where the database cannot be read."""
        async with self.database.reading() as connection:
            await connection.execute(sa.select(1))


@asynccontextmanager
async def open_sqlite(
    path: Path, cipher: Cipher, clock: Clock, ids: IdGenerator
) -> AsyncGenerator[SqlStorage]:
    """Open an SQLite file that has been migrated.

    Raises :class:`StorageUnusable` for what is no such file, :class:`IncompatibleSchema` where
    its schema does not fit, :class:`WrongEncryptionSecret` where it was written under another
    secret, and :class:`StorageUnavailable`.
    """
    async with open_database(path, clock) as database:
        with naming(path):
            await schema.check_schema(database)
            await schema.check_secret(database, cipher)
        rows, answers = WebhookRows(database.steps, cipher), KeptAnswers(cipher)
        async with _released(FileWorkerLock(path, database)) as worker_lock:
            yield SqlStorage(
                database=database,
                webhooks=SqlWebhookStore(database, rows, answers),
                deliveries=SqlDeliveryStore(database, rows, answers, ids),
                keys=SqlKeyStore(database, cipher, answers),
                api_keys=SqlApiKeyStore(database),
                logs=SqlLogStore(database),
                history=SqlHistory(database),
                backlog=SqlBacklog(database),
                idempotency=SqlIdempotencyStore(database, answers),
                replays=SqlReplayStore(database, answers),
                trials=SqlTrialStore(database, answers),
                worker_lock=worker_lock,
            )


async def migrate_sqlite(path: Path, cipher: Cipher) -> None:
    """Make an SQLite file where there is none, and bring its schema to this version's.

    Done again it changes nothing. Raises as :func:`open_sqlite` does.
    """
    async with open_database(path, SystemClock(), create=True) as database:
        with naming(path):
            await schema.migrate(database)
            await schema.check_secret(database, cipher)


@asynccontextmanager
async def _released(lock: FileWorkerLock) -> AsyncGenerator[FileWorkerLock]:
    """Give the lock back however the storage is closed."""
    try:
        yield lock
    finally:
        await lock.release()
