"""Whether a database fits this version, and making it fit."""

import threading
from io import StringIO
from typing import TextIO

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.engine import Database
from notification_adapters.sql.tables import instance, metadata
from notification_core.encryption import Cipher
from notification_core.errors import (
    IncompatibleSchema,
    StorageUnusable,
    UndecipherableText,
    WrongEncryptionSecret,
)

VERSION = "0001"
"""The schema that this code is written for. Versions are compared as text."""

VERSION_TABLE = "notification_schema"
"""Not alembic's own name: an application that embeds this may have its own migrations."""

_COMMAND = "Run `notification-management migrate`."
_CANARY = b"the encryption secret of this database"
_CANARY_PLACE = ("instance", "canary", "", "1")

# Alembic's context is global to the process.
_alembic = threading.Lock()


async def migrate(database: Database) -> None:
    """Bring a database, which may be empty, to this version's schema.

    It is one transaction; done again, it does nothing. Raises :class:`StorageUnusable` where the
    database holds tables of another program under our names, and :class:`IncompatibleSchema`
    where the schema is newer than this version.
    """
    async with database.migrating() as connection:
        current = await connection.run_sync(_current)
        if current is None:
            await connection.run_sync(_refuse_foreign)
        if current is None or current < VERSION:
            await connection.run_sync(_upgrade)
        else:
            await _check_compatible(connection, current)


async def migration_sql(database: Database) -> str:
    """Return what :func:`migrate` would do as statements; empty where it would do nothing.

    They are to run as one transaction. Raises as :func:`migrate` does.
    """
    async with database.reading() as connection:
        current = await connection.run_sync(_current)
        if current is None:
            await connection.run_sync(_refuse_foreign)
        elif current >= VERSION:
            await _check_compatible(connection, current)
            return ""
    return _prelude(database.schema) + _upgrade_as_text(connection.dialect.name, current)


def _prelude(schema: str | None) -> str:
    if schema is None:
        return ""
    return f'CREATE SCHEMA IF NOT EXISTS "{schema}";\nSET search_path TO "{schema}";\n\n'


async def check_schema(database: Database) -> None:
    """Raise :class:`IncompatibleSchema` unless this version can work on the database."""
    async with database.reading() as connection:
        current = await connection.run_sync(_current)
        if current is None:
            raise IncompatibleSchema(f"The database has not been set up yet. {_COMMAND}")
        if current < VERSION:
            raise IncompatibleSchema(
                f"The database's schema is {current}, older than this version's {VERSION}. "
                f"{_COMMAND}"
            )
        await _check_compatible(connection, current)


async def check_secret(database: Database, cipher: Cipher) -> None:
    """Raise :class:`WrongEncryptionSecret` unless the canary can be read.

    The first one to open a database leaves the canary in it.
    """
    async with database.reading() as connection:
        canary = await _canary(connection)
    if canary is None:
        canary = await _leave_canary(database, cipher)
    try:
        intact = cipher.decrypt(canary, _CANARY_PLACE) == _CANARY
    except UndecipherableText:
        intact = False
    if not intact:
        raise WrongEncryptionSecret(
            "The database was written under another encryption secret. Set DB_ENCRYPTION_SECRET "
            "to that one, or name it among DB_ENCRYPTION_PREVIOUS_SECRETS."
        )


async def renew_canary(database: Database, cipher: Cipher) -> None:
    """Let the canary be read under the present secret only; done again it changes nothing."""
    async with database.writing() as connection:
        standing = await _canary(connection)
        if standing is None or not cipher.is_current(standing):
            canary = cipher.encrypt(_CANARY, _CANARY_PLACE)
            await connection.execute(sa.update(instance).values(canary=canary))


async def _check_compatible(connection: AsyncConnection, current: str) -> None:
    if current == VERSION:
        return
    oldest = (await connection.execute(sa.select(instance.c.oldest_compatible))).scalar_one()
    if oldest > VERSION:
        raise IncompatibleSchema(
            f"The database's schema is {current}, and only versions from {oldest} on can work on "
            f"it; this one has {VERSION}. Install a newer version: `notification-management "
            "migrate` does not go back."
        )


async def _canary(connection: AsyncConnection) -> str | None:
    found: str | None = (await connection.execute(sa.select(instance.c.canary))).scalar_one()
    return found


async def _leave_canary(database: Database, cipher: Cipher) -> str:
    """Write the canary unless another process has just done so; return the one that stands."""
    async with database.writing() as connection:
        standing = await _canary(connection)
        if standing is not None:
            return standing
        canary = cipher.encrypt(_CANARY, _CANARY_PLACE)
        await connection.execute(sa.update(instance).values(canary=canary))
        return canary


def _current(connection: sa.Connection) -> str | None:
    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _refuse_foreign(connection: sa.Connection) -> None:
    """Leave a database alone in which our names mean something else."""
    taken = sorted(metadata.tables.keys() & set(sa.inspect(connection).get_table_names()))
    if taken:
        raise StorageUnusable(
            f"The database belongs to another program: it has tables of our names "
            f"({', '.join(taken)}), and no {VERSION_TABLE}."
        )


def _upgrade(connection: sa.Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, "head")


def _upgrade_as_text(dialect: str, current: str | None) -> str:
    text = StringIO()
    config = _config(text)
    config.attributes["dialect"] = dialect
    with _alembic:
        command.upgrade(config, f"{current}:head" if current else "head", sql=True)
    return text.getvalue()


def _config(output: TextIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", "notification_adapters.sql:migrations")
    config.set_main_option("path_separator", "os")
    return config
