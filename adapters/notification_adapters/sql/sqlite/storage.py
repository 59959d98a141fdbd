"""Opening an SQLite file: all its stores as one object."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

from notification_adapters.clock import SystemClock
from notification_adapters.null_objects import NoNotifier
from notification_adapters.sql.sqlite.database import SqliteDatabase, naming, open_database
from notification_adapters.sql.sqlite.deliveries import SqliteDeliveryStore
from notification_adapters.sql.sqlite.locks import FileWorkerLock
from notification_adapters.sql.storage import SqlStorage, check, migrate, open_stores
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.model.message import Topics
from notification_core.ports.clock import Clock


@asynccontextmanager
async def open_sqlite(  # noqa: PLR0913 - what a storage is made of
    path: Path,
    cipher: Cipher,
    clock: Clock,
    ids: IdGenerator,
    topics: Topics | None = None,
    *,
    operational_environment: UUID | None = None,
) -> AsyncGenerator[SqlStorage]:
    """Open an SQLite file that has been migrated.

    With ``topics`` its outbox is filled: somebody is to send what is in it. With an
    ``operational_environment`` operational events are kept for its webhooks.
    Raises :class:`StorageUnusable` for what is no such file, :class:`IncompatibleSchema` where
    its schema does not fit, :class:`WrongEncryptionSecret` where it was written under another
    secret, and :class:`StorageUnavailable`.
    """
    async with open_database(path, clock) as database:
        with naming(path):
            await check(database, cipher)
        lock = FileWorkerLock(path, database)
        store = partial(SqliteDeliveryStore, database)
        targets = topics, operational_environment
        parts = database, cipher, ids, lock, NoNotifier(), *targets, store
        async with open_stores(*parts) as storage:
            yield storage


async def migrate_sqlite(path: Path, cipher: Cipher) -> str | None:
    """Make an SQLite file if there is none, and bring its schema to this version's.

    Returns the schema that it had, None if it was empty. Raises as :func:`open_sqlite` does.
    """
    async with open_sqlite_database(path, SystemClock(), create=True) as database:
        return await migrate(database, cipher)


@asynccontextmanager
async def open_sqlite_database(
    path: Path, clock: Clock, *, create: bool = False
) -> AsyncGenerator[SqliteDatabase]:
    """Open an SQLite file for a look at its schema; errors name the file."""
    async with open_database(path, clock, create=create) as database:
        with naming(path):
            yield database
