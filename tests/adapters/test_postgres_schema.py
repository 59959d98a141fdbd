"""Opening a PostgreSQL database: what fits, what does not, and what the error says."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from attrs import evolve, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.sql.migrations import schema, upgrading
from notification_adapters.sql.postgres import (
    Server,
    migrate_postgres,
    open_postgres,
    open_postgres_database,
)
from notification_adapters.sql.tables import SCHEMA
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.errors import (
    IncompatibleSchema,
    StorageUnavailable,
    StorageUnusable,
    WrongEncryptionSecret,
)
from tests.support.postgres_server import CIPHER, PostgresServer

COMMAND = "notification-management migrate"
_INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND tablename <> $2"
_COLUMNS = """
SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = $1 AND table_name <> $2
"""

_COLLATIONS_OF_INDEXES = """
SELECT DISTINCT c.collname
FROM pg_index AS i CROSS JOIN unnest(i.indcollation) AS used (collation_id)
JOIN pg_collation AS c ON c.oid = used.collation_id
WHERE i.indrelid::regclass::text IN (SELECT tablename FROM pg_tables WHERE schemaname = 'public')
  AND i.indrelid <> 'notification_schema'::regclass
"""
_HAS_LZ4 = """
SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'
"""
_COMPRESSED_BY = """
SELECT attcompression FROM pg_attribute
WHERE (attrelid, attname) IN (
  ('events'::regclass, 'body'), ('attempts'::regclass, 'response_body')
)
"""


@frozen
class Place:
    """An empty database, and how to do something to it from outside."""

    postgres: PostgresServer
    database: str

    @property
    def server(self) -> Server:
        """How it is reached."""
        return self.postgres.server(self.database)

    async def execute(self, *statements: str) -> None:
        """Change the database behind our back."""
        for statement in statements:
            await self.postgres.execute(statement, self.database)

    async def open(self, server: Server | None = None, cipher: Cipher = CIPHER) -> None:
        """Open it as a service does."""
        clock = SystemClock()
        async with open_postgres(server or self.server, cipher, clock, IdGenerator(clock)) as one:
            await one.ping()

    async def look(self, schema_name: str = "public") -> set[tuple[object, ...]]:
        """Return what its schema is made of."""
        async with self.postgres.connected(self.database) as connection:
            found = [
                *await connection.fetch(_INDEXES, schema_name, schema.VERSION_TABLE),
                *await connection.fetch(_COLUMNS, schema_name, schema.VERSION_TABLE),
            ]
        return {
            tuple(str(each).replace(f"{schema_name}.", "") for each in row.values())
            for row in found
        }


@pytest.fixture
async def place(postgres: PostgresServer) -> AsyncIterator[Place]:
    """Make an empty database."""
    async with postgres.database(empty=True) as database:
        yield Place(postgres, database)


async def test_migrating_makes_a_schema_and_again_changes_nothing(place: Place) -> None:
    await migrate_postgres(place.server, CIPHER)
    before = await place.look()
    await migrate_postgres(place.server, CIPHER)
    assert await place.look() == before
    await place.open()


async def test_no_index_is_in_an_order_of_the_databases_language(place: Place) -> None:
    await migrate_postgres(place.server, CIPHER)
    async with place.postgres.connected(place.database) as connection:
        collations = await connection.fetch(_COLLATIONS_OF_INDEXES)
    assert [name for (name,) in collations] == ["C"]


async def test_bodies_are_compressed_by_lz4_if_the_server_has_it(place: Place) -> None:
    await migrate_postgres(place.server, CIPHER)
    async with place.postgres.connected(place.database) as connection:
        has_lz4 = await connection.fetchval(_HAS_LZ4)
        compressed_by = [method for (method,) in await connection.fetch(_COMPRESSED_BY)]
    assert (compressed_by == [b"l", b"l"]) is has_lz4


async def test_migrating_may_take_longer_than_any_other_statement(place: Place) -> None:
    impatient = evolve(place.server, response_seconds=0.001)
    with pytest.raises(StorageUnavailable, match="in time"):
        async with (
            open_postgres_database(impatient) as database,
            database.read_transaction() as connection,
        ):
            await connection.exec_driver_sql("SELECT pg_sleep(0.1)")
    await migrate_postgres(impatient, CIPHER)
    await place.open()


async def test_the_migrations_make_the_schema_that_the_tables_say(
    place: Place, postgres: PostgresServer
) -> None:
    await migrate_postgres(place.server, CIPHER)
    async with postgres.database(empty=True) as plain:
        async with (
            open_postgres_database(postgres.server(plain)) as database,
            database.write_transaction() as connection,
        ):
            await connection.run_sync(SCHEMA.create_all)
        assert await place.look() == await Place(postgres, plain).look()


async def test_a_new_database_is_what_the_migrations_come_to_one_by_one(
    place: Place, postgres: PostgresServer
) -> None:
    await migrate_postgres(place.server, CIPHER)
    async with postgres.database(empty=True) as upgraded:
        async with (
            open_postgres_database(postgres.server(upgraded)) as database,
            database.migration_transaction() as connection,
        ):
            await connection.run_sync(upgrading.upgrade)
        assert await place.look() == await Place(postgres, upgraded).look()


async def test_several_who_migrate_at_once_do_it_once(place: Place) -> None:
    await asyncio.gather(*(migrate_postgres(place.server, CIPHER) for _ in range(8)))
    await place.open()


async def test_a_schema_of_its_own_keeps_all_tables_apart_from_the_hosts(place: Place) -> None:
    await place.execute("CREATE TABLE events (what integer)")
    apart = evolve(place.server, schema="notifications")
    await migrate_postgres(apart, CIPHER)
    await migrate_postgres(apart, CIPHER)
    await place.open(apart)
    assert len(await place.look("notifications")) > 50
    assert len(await place.look()) == 1
    with pytest.raises(StorageUnusable, match=r"another program.*events"):
        await migrate_postgres(place.server, CIPHER)


async def test_an_empty_database_wants_to_be_migrated(place: Place) -> None:
    with pytest.raises(IncompatibleSchema, match=COMMAND):
        await place.open()


async def test_a_migration_that_breaks_off_leaves_nothing(place: Place) -> None:
    await place.execute("CREATE TABLE t (a integer)", "CREATE INDEX attempts_log ON t (a)")
    before = await place.look()
    with pytest.raises(sa.exc.DBAPIError):
        await migrate_postgres(place.server, CIPHER)
    assert await place.look() == before


@pytest.mark.parametrize(
    ("version", "oldest", "fits"),
    [("0000", "0000", False), ("9998", "0001", True), ("9999", "9998", False)],
)
async def test_a_schema_that_is_behind_or_too_far_ahead_is_refused(
    place: Place,
    version: str,
    oldest: str,
    fits: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await migrate_postgres(place.server, CIPHER)
    await place.execute(
        f"UPDATE notification_schema SET version_num = '{version}'",  # noqa: S608 - a test's number
        f"UPDATE instance SET oldest_compatible = '{oldest}'",  # noqa: S608 - the same
    )
    if fits:
        await place.open()
        await migrate_postgres(place.server, CIPHER)
        return
    with pytest.raises(IncompatibleSchema):
        await place.open()


async def test_another_secret_is_refused(place: Place) -> None:
    await migrate_postgres(place.server, CIPHER)
    with pytest.raises(WrongEncryptionSecret):
        await place.open(cipher=Cipher("f" * 32))


async def test_the_statements_that_are_printed_make_what_migrating_makes(
    place: Place, postgres: PostgresServer
) -> None:
    apart = evolve(place.server, schema="apart")
    async with open_postgres_database(apart) as database:
        text = await schema.migration_sql(database)
    await place.execute(text)
    async with open_postgres_database(apart) as database:
        assert await schema.migration_sql(database) == ""
        await schema.check_schema(database)
    async with postgres.database() as other:
        assert await place.look("apart") == await Place(postgres, other).look()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_is_not_utf_8_is_refused_by_migrate_and_by_every_start(
    postgres: PostgresServer, encoding: str
) -> None:
    name = f"notification_test_{encoding}_{os.getpid()}".lower()
    await postgres.execute(
        f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    )
    try:
        place = Place(postgres, name)
        for refused in (migrate_postgres(place.server, CIPHER), place.open()):
            with pytest.raises(StorageUnusable, match=f"{encoding}, and must be UTF8"):
                await refused
    finally:
        await postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
