"""The storage on a PostgreSQL server, as the settings say where it is."""

from contextlib import AbstractAsyncContextManager

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.database import Database
from notification_adapters.sql.postgres import (
    Server,
    migrate_postgres,
    open_postgres,
    open_postgres_database,
)
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.ports.clock import Clock
from notification_entrypoints.config.databases import server_uri
from notification_entrypoints.config.settings import Settings


def opened(
    settings: Settings, cipher: Cipher, clock: Clock, ids: IdGenerator
) -> AbstractAsyncContextManager[SqlStorage]:
    """Open a database that has been migrated."""
    return open_postgres(server_of(settings), cipher, clock, ids, topics=settings.topics)


async def migrate(settings: Settings, cipher: Cipher) -> None:
    """Bring the schema up to this version; does nothing where it is."""
    await migrate_postgres(server_of(settings), cipher)


def database(settings: Settings) -> AbstractAsyncContextManager[Database]:
    """Open a database for a look at its schema."""
    return open_postgres_database(server_of(settings))


def server_of(settings: Settings) -> Server:
    """Return the PostgreSQL server that the settings name."""
    direct = settings.db_direct_uri
    return Server(
        uri=str(server_uri(settings.db_uri, settings)),
        direct_uri=None if direct is None else str(server_uri(direct, settings)),
        schema=settings.db_schema,
        pool_size=settings.db_pool_size,
        prepared_statements=settings.db_prepared_statements,
        application_name=f"notification-management {settings.pod_name}",
    )
