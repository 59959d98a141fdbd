"""Which storage stands behind ``DB_URI``: a file of SQLite, or a PostgreSQL server.

What is for a server is imported if there is one, and so is its driver: a thirtieth of a start.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

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
from notification_entrypoints.config.wrapped_secrets import unwrap_secrets

if TYPE_CHECKING:
    from notification_adapters.sql.database_copy import DatabaseCopy
    from notification_adapters.sql.postgres import Server


@asynccontextmanager
async def open_storage(
    settings: Settings, clock: Clock, ids: IdGenerator
) -> AsyncIterator[SqlStorage]:
    """Open the database at ``DB_URI``, which has been migrated."""
    cipher = await _cipher(settings)
    if file := file_of(settings.db.uri):
        opening = open_sqlite(
            *(file, cipher, clock, ids, settings.kafka.topic_names),
            operational_environment=settings.operational_webhook_environment,
        )
    else:
        from notification_adapters.sql.postgres import open_postgres  # noqa: PLC0415 - only where needed

        server = server_of(settings)
        opening = open_postgres(
            *(server, cipher, clock, ids),
            topics=settings.kafka.topic_names,
            operational_environment=settings.operational_webhook_environment,
        )
    async with opening as storage:
        yield storage


async def migrate(settings: Settings) -> str | None:
    """Bring the schema at ``DB_URI`` up to this version; return the one it had, None if empty."""
    cipher = await _cipher(settings)
    if file := file_of(settings.db.uri):
        return await migrate_sqlite(file, cipher)
    from notification_adapters.sql.postgres import migrate_postgres  # noqa: PLC0415 - the same

    return await migrate_postgres(server_of(settings), cipher)


@asynccontextmanager
async def open_copy(source: Path, settings: Settings) -> "AsyncIterator[DatabaseCopy]":
    """Open a SQLite file, and the server at ``DB_URI``, to copy the one to the other."""
    from notification_adapters.sql import database_copy  # noqa: PLC0415 - only where needed

    cipher = await _cipher(settings)
    async with database_copy.open_copy(source, server_of(settings), cipher) as copy:
        yield copy


async def check_schema(settings: Settings) -> None:
    """Raise :class:`IncompatibleSchema` unless this version can work on the database."""
    async with _database(settings) as database:
        await schema.check_schema(database)


async def time_of(settings: Settings) -> datetime:
    """Return the time that the storage at ``DB_URI`` says it is."""
    async with _database(settings) as database, database.read_transaction() as connection:
        return await database.dialect.now(connection)


async def migration_sql(settings: Settings) -> str:
    """Return the statements that :func:`migrate` would run now; empty if it would do nothing."""
    async with _database(settings) as database:
        return await schema.migration_sql(database)


def place_of(settings: Settings) -> str:
    """Return where the storage is, without a secret, for people."""
    if file := file_of(settings.db.uri):
        return str(file)
    return server_uri(settings.db.uri, settings).place


def server_of(settings: Settings) -> "Server":
    """Return the PostgreSQL server that the settings name."""
    from notification_adapters.sql.postgres import Server  # noqa: PLC0415 - only where needed

    direct = settings.db.direct_uri
    return Server(
        uri=str(server_uri(settings.db.uri, settings)),
        direct_uri=None if direct is None else str(server_uri(direct, settings)),
        schema=settings.db.schema,
        pool_size=settings.db.pool_size,
        prepared_statements=settings.db.prepared_statements,
        application_name=f"notification-management {settings.pod_name}",
    )


def _database(settings: Settings) -> AbstractAsyncContextManager[Database]:
    """Open a database for a look at its schema."""
    if file := file_of(settings.db.uri):
        return open_sqlite_database(file, SystemClock())
    from notification_adapters.sql.postgres import open_postgres_database  # noqa: PLC0415 - the same

    return open_postgres_database(server_of(settings))


async def _cipher(settings: Settings) -> Cipher:
    opened = await unwrap_secrets(settings)
    return Cipher(opened.db.encryption_secret, opened.db.encryption_previous_secrets)
