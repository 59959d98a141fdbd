"""Which storage stands behind ``DB_URI``: a file of SQLite, or a PostgreSQL server."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import quote, urlsplit, urlunsplit

from notification_adapters.clock import SystemClock
from notification_adapters.memory import MemoryStorage
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.engine import Database
from notification_adapters.sql.migrations import schema
from notification_adapters.sql.postgres import (
    Server,
    migrate_postgres,
    open_postgres,
    open_postgres_database,
)
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite, open_sqlite_database
from notification_core.encryption import Cipher
from notification_core.ids import IdGenerator
from notification_core.ports.clock import Clock
from notification_entrypoints.databases import file_of
from notification_entrypoints.settings import Settings
from notification_entrypoints.unwrapping import unwrapped

Storage = SqlStorage | MemoryStorage
"""All stores of one database, or of one memory: what one writes the others read."""


@asynccontextmanager
async def open_storage(
    settings: Settings, clock: Clock, ids: IdGenerator
) -> AsyncIterator[SqlStorage]:
    """Open the database at ``DB_URI``, which has been migrated."""
    cipher = await _cipher(settings)
    if file := file_of(settings.db_uri):
        opening = open_sqlite(file, cipher, clock, ids, settings.topics)
    else:
        opening = open_postgres(server_of(settings), cipher, clock, ids, topics=settings.topics)
    async with opening as storage:
        yield storage


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
        await migrate_postgres(server_of(settings), cipher)


async def check_schema(settings: Settings) -> None:
    """Raise :class:`IncompatibleSchema` unless this version can work on the database."""
    async with _database(settings) as database:
        await schema.check_schema(database)


async def migration_sql(settings: Settings) -> str:
    """Return the statements that :func:`migrate` would run now; empty where it would do nothing."""
    async with _database(settings) as database:
        return await schema.migration_sql(database)


def server_of(settings: Settings) -> Server:
    """Return the PostgreSQL server that the settings name."""
    direct = settings.db_direct_uri
    return Server(
        uri=_complete(settings.db_uri, settings),
        direct_uri=None if direct is None else _complete(direct, settings),
        schema=settings.db_schema,
        pool_size=settings.db_pool_size,
        prepared_statements=settings.db_prepared_statements,
        application_name=f"notification-management {settings.pod_name}",
    )


def place_of(settings: Settings) -> str:
    """Return where the storage is, without a secret, for people."""
    if file := file_of(settings.db_uri):
        return str(file)
    parts = urlsplit(_complete(settings.db_uri, settings))
    return urlunsplit(("postgresql", parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _database(settings: Settings) -> AbstractAsyncContextManager[Database]:
    if file := file_of(settings.db_uri):
        return open_sqlite_database(file, SystemClock())
    return open_postgres_database(server_of(settings))


def _complete(uri: str, settings: Settings) -> str:
    """Give a server's URI what it leaves to the variables: user, password, database."""
    parts = urlsplit(uri if "://" in uri else f"postgresql://{uri}")
    given, _, host = parts.netloc.rpartition("@")
    user, _, password = given.partition(":")
    user = user or quote(settings.db_auth_user, safe="")
    password = password or quote(settings.db_auth_pass, safe="")
    path = parts.path.removeprefix("/") or quote(settings.db_database, safe="")
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}", path=f"/{path}"))


async def _cipher(settings: Settings) -> Cipher:
    opened = await unwrapped(settings)
    return Cipher(opened.db_encryption_secret, opened.db_encryption_previous_secrets)
