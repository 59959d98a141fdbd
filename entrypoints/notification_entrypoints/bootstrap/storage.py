"""Which storage stands behind ``DB_URI``: a file of SQLite, or a PostgreSQL server.

What is for a server is imported where there is one, and so is its driver: a thirtieth of a start.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.database import Database
from notification_adapters.sql.migrations import schema
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite, open_sqlite_database
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.ports.clock import Clock
from notification_entrypoints.config.databases import file_of, server_uri
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.config.wrapped_secrets import unwrapped

if TYPE_CHECKING:  # Whoever brings one has imported it: no process of ours does.
    from notification_adapters.memory import MemoryStorage

Storage: TypeAlias = "SqlStorage | MemoryStorage"
"""All stores of one database, or of one memory: what one writes the others read."""


@asynccontextmanager
async def open_storage(
    settings: Settings, clock: Clock, ids: IdGenerator
) -> AsyncIterator[SqlStorage]:
    """Open the database at ``DB_URI``, which has been migrated."""
    cipher = await _cipher(settings)
    async with _opened(settings, cipher, clock, ids) as storage:
        yield storage


def _opened(
    settings: Settings, cipher: Cipher, clock: Clock, ids: IdGenerator
) -> AbstractAsyncContextManager[SqlStorage]:
    if file := file_of(settings.db_uri):
        return open_sqlite(file, cipher, clock, ids, settings.topics)
    from notification_entrypoints.bootstrap import postgres_storage  # noqa: PLC0415 - only where needed

    return postgres_storage.opened(settings, cipher, clock, ids)


def ingests_side_by_side(storage: Storage) -> int:
    """Return how many transactions that store events make sense at the same time.

    With a second one the database works while this process prepares the next; a third gains
    nothing, and makes each smaller. Where there is one writer, they would only wait in line.
    """
    return 2 if isinstance(storage, SqlStorage) and not storage.database.one_writer else 1


def database_of(storage: Storage) -> Database | None:
    """Return the database behind a storage; None behind one in memory."""
    return storage.database if isinstance(storage, SqlStorage) else None


async def migrate(settings: Settings) -> None:
    """Bring the schema at ``DB_URI`` up to this version; does nothing where it is."""
    cipher = await _cipher(settings)
    if file := file_of(settings.db_uri):
        await migrate_sqlite(file, cipher)
    else:
        from notification_entrypoints.bootstrap import postgres_storage  # noqa: PLC0415 - only where needed

        await postgres_storage.migrate(settings, cipher)


async def check_schema(settings: Settings) -> None:
    """Raise :class:`IncompatibleSchema` unless this version can work on the database."""
    async with _database(settings) as database:
        await schema.check_schema(database)


async def migration_sql(settings: Settings) -> str:
    """Return the statements that :func:`migrate` would run now; empty where it would do nothing."""
    async with _database(settings) as database:
        return await schema.migration_sql(database)


def place_of(settings: Settings) -> str:
    """Return where the storage is, without a secret, for people."""
    if file := file_of(settings.db_uri):
        return str(file)
    return server_uri(settings.db_uri, settings).place


def _database(settings: Settings) -> AbstractAsyncContextManager[Database]:
    if file := file_of(settings.db_uri):
        return open_sqlite_database(file, SystemClock())
    from notification_entrypoints.bootstrap import postgres_storage  # noqa: PLC0415 - only where needed

    return postgres_storage.database(settings)


async def _cipher(settings: Settings) -> Cipher:
    opened = await unwrapped(settings)
    return Cipher(opened.db_encryption_secret, opened.db_encryption_previous_secrets)
