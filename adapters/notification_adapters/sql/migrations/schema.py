"""Whether a database fits this version, and making it fit."""

from importlib.resources import files

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.installation_tables import instance
from notification_adapters.sql.tables import SCHEMA
from notification_core.encryption.cipher import Cipher
from notification_core.errors import (
    IncompatibleSchema,
    StorageUnusable,
    UndecipherableText,
    WrongEncryptionSecret,
)

VERSION = "0006"
"""The schema that this code is written for. Versions are compared as text."""

VERSION_TABLE = "notification_schema"
"""Not alembic's own name: an application that embeds this may have its own migrations."""

UNFINISHED_COPY = "copy of "
"""What the version of an unfinished copy begins with: more than any version's number is.

So no version of this program works on one: neither a newer, nor an older.
"""

_COMMAND = "Run `notification-management migrate`."
_CANARY = b"the encryption secret of this database"
_CANARY_PLACE = ("instance", "canary", "", "1")

_version = sa.Table(VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String))


async def migrate(database: Database) -> str | None:
    """Bring a database to this version's schema; return the one it had, None if it was empty.

    It is one transaction; done again, it does nothing. Raises :class:`StorageUnusable` where the
    database holds tables of another program under our names, and :class:`IncompatibleSchema`
    where the schema is newer than this version.
    """
    async with database.migration_transaction() as connection:
        current = await connection.run_sync(_current)
        if current is None:
            await connection.run_sync(_refuse_foreign)
            await connection.run_sync(_make)
        elif current < VERSION:
            from notification_adapters.sql.migrations import upgrading  # noqa: PLC0415 - only where needed

            await connection.run_sync(upgrading.upgrade)
        else:
            await _check_compatible(connection, current)
    return current


async def migration_sql(database: Database) -> str:
    """Return what :func:`migrate` would do as statements; empty if it would do nothing.

    They are to run as one transaction. Raises as :func:`migrate` does.
    """
    async with database.read_transaction() as connection:
        current = await connection.run_sync(_current)
        if current is None:
            await connection.run_sync(_refuse_foreign)
        elif current >= VERSION:
            await _check_compatible(connection, current)
            return ""
    from notification_adapters.sql.migrations import upgrading  # noqa: PLC0415 - only where needed

    text = upgrading.as_text(connection.dialect.name, current)
    if (schema := database.schema) is None:
        return text
    return f'CREATE SCHEMA IF NOT EXISTS "{schema}";\nSET search_path TO "{schema}";\n\n{text}'


async def current_version(database: Database) -> str | None:
    """Return the version that a database's schema has, None if it has none."""
    async with database.read_transaction() as connection:
        return await connection.run_sync(_current)


async def set_version(connection: AsyncConnection, version: str, oldest_compatible: str) -> None:
    """Let versions of this program from ``oldest_compatible`` on work on the database."""
    await connection.execute(sa.update(_version).values(version_num=version))
    await connection.execute(sa.update(instance).values(oldest_compatible=oldest_compatible))


async def check_schema(database: Database) -> None:
    """Raise :class:`IncompatibleSchema` unless this version can work on the database."""
    async with database.read_transaction() as connection:
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
    async with database.read_transaction() as connection:
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
    async with database.write_transaction() as connection:
        standing = await _canary(connection)
        if standing is None or not cipher.is_current(standing):
            canary = cipher.encrypt(_CANARY, _CANARY_PLACE)
            await connection.execute(sa.update(instance).values(canary=canary))
        else:
            # An earlier run may have done it all, and the previous secret is removed after this.
            await database.confirm_found(connection)


async def _check_compatible(connection: AsyncConnection, current: str) -> None:
    if current == VERSION:
        return
    if current.startswith(UNFINISHED_COPY):
        raise IncompatibleSchema(
            "The database is an unfinished copy of another one. Run `notification-management copy` "
            "again: it continues."
        )
    oldest = (await connection.execute(sa.select(instance.c.oldest_compatible))).scalar_one()
    if oldest > VERSION:
        raise IncompatibleSchema(
            f"The database's schema is {current}, and only versions from {oldest} on can work on "
            f"it; this one has {VERSION}. Install a newer version: `notification-management "
            "migrate` does not go back."
        )


async def _canary(connection: AsyncConnection) -> str | None:
    canary: str | None = (await connection.execute(sa.select(instance.c.canary))).scalar_one()
    return canary


async def _leave_canary(database: Database, cipher: Cipher) -> str:
    """Write the canary unless another process has just done so; return the one that stands."""
    async with database.write_transaction() as connection:
        standing = await _canary(connection)
        if standing is not None:
            return standing
        canary = cipher.encrypt(_CANARY, _CANARY_PLACE)
        await connection.execute(sa.update(instance).values(canary=canary))
        return canary


def _current(connection: sa.Connection) -> str | None:
    """Return what alembic would: importing it takes a tenth of the time of a start."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.select(_version.c.version_num)).scalar_one_or_none()


def _make(connection: sa.Connection) -> None:
    """Run the statements that all migrations come to: working them out takes a tenth of a start."""
    written = files(__package__).joinpath(f"new.{connection.dialect.name}.sql").read_text("utf-8")
    # Statements that ran without a transaction, and not to their end, may have left it empty.
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {VERSION_TABLE}")
    for statement in written.removesuffix(";\n").split(";\n"):
        connection.exec_driver_sql(statement)


def _refuse_foreign(connection: sa.Connection) -> None:
    """Leave a database alone in which our names mean something else."""
    taken = sorted(SCHEMA.tables.keys() & set(sa.inspect(connection).get_table_names()))
    if taken:
        raise StorageUnusable(
            f"The database belongs to another program: it has tables of our names "
            f"({', '.join(taken)}), and no {VERSION_TABLE}."
        )
