"""Opening an SQLite file: what fits, what does not, and what the error says."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from notification_adapters.clock import SystemClock
from notification_adapters.sql.migrations import upgrading
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite, open_sqlite_database
from notification_adapters.sql.tables import SCHEMA
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.errors import (
    IncompatibleSchema,
    NotificationError,
    StorageUnusable,
    WrongEncryptionSecret,
)
from tests.adapters.sql_storages import database
from tests.support.postgres_server import CIPHER, SECRET

COMMAND = "notification-management migrate"


async def _open(path: Path, cipher: Cipher = CIPHER) -> None:
    clock = SystemClock()
    async with open_sqlite(path, cipher, clock, IdGenerator(clock)) as storage:
        await storage.ping()


async def _refused(path: Path, error: type[NotificationError]) -> str:
    """Open a file that is refused; return the sentence that says why."""
    with pytest.raises(error) as caught:
        await _open(path)
    assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)
    return str(caught.value)


def _execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def _schema(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
        ).fetchall()
    return {name: " ".join(text.split()) for name, text in found}


def _structure(path: Path) -> dict[str, object]:
    """Return what the schema comes to, however the statements were written that made it."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        columns = {
            name: sorted(row[1:] for row in connection.execute(f"PRAGMA table_xinfo({name})"))
            for (name,) in tables.fetchall()
        }
        indexes = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index'")
        return columns | {name: text and " ".join(text.split()) for name, text in indexes}


def _first_rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT webhooks_revision.*, outbox_lease.*, oldest_compatible, version_num "
            "FROM webhooks_revision, outbox_lease, instance, notification_schema"
        ).fetchall()


async def test_migrating_makes_a_database_and_again_changes_nothing(tmp_path: Path) -> None:
    path = database(tmp_path)
    await migrate_sqlite(path, CIPHER)
    before = _schema(path)
    await migrate_sqlite(path, CIPHER)
    assert _schema(path) == before
    await _open(path)


async def test_the_migrations_make_the_schema_that_the_tables_say(tmp_path: Path) -> None:
    await migrate_sqlite(database(tmp_path), CIPHER)
    plain = tmp_path / "plain.sqlite"
    engine = sa.create_engine(f"sqlite:///{plain}")
    SCHEMA.create_all(engine)
    engine.dispose()
    migrated = _structure(database(tmp_path))
    assert "version_num" in str(migrated.pop("notification_schema"))
    migrated.pop("sqlite_autoindex_notification_schema_1", None)
    assert migrated == _structure(plain)


async def test_a_new_file_is_what_the_migrations_come_to_one_by_one(tmp_path: Path) -> None:
    await migrate_sqlite(database(tmp_path), CIPHER)
    upgraded = tmp_path / "upgraded.sqlite"
    async with (
        open_sqlite_database(upgraded, SystemClock(), create=True) as opened,
        opened.migration_transaction() as connection,
    ):
        await connection.run_sync(upgrading.upgrade)
    await migrate_sqlite(upgraded, CIPHER)
    assert _schema(upgraded) == _schema(database(tmp_path))
    assert _first_rows(upgraded) == _first_rows(database(tmp_path))
    await _open(upgraded)


async def test_a_table_of_versions_that_is_empty_is_no_schema(tmp_path: Path) -> None:
    _execute(database(tmp_path), "CREATE TABLE notification_schema (version_num TEXT)")
    await migrate_sqlite(database(tmp_path), CIPHER)
    await _open(database(tmp_path))


async def test_several_who_migrate_at_once_do_it_once(tmp_path: Path) -> None:
    path = database(tmp_path)
    await asyncio.gather(*(migrate_sqlite(path, CIPHER) for _ in range(12)))
    await _open(path)


async def test_a_database_beside_an_applications_own_tables_is_fine(tmp_path: Path) -> None:
    path = database(tmp_path)
    _execute(path, "CREATE TABLE alembic_version (version_num)", "CREATE TABLE orders (id)")
    await migrate_sqlite(path, CIPHER)
    await _open(path)


async def test_a_migration_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    path = database(tmp_path)
    _execute(path, "CREATE TABLE t (a)", "CREATE INDEX attempts_log ON t (a)")
    before = _schema(path)
    with pytest.raises(sa.exc.OperationalError):
        await migrate_sqlite(path, CIPHER)
    assert _schema(path) == before
    _execute(path, "DROP INDEX attempts_log")
    await migrate_sqlite(path, CIPHER)
    await _open(path)


async def test_a_missing_file_is_not_made_by_opening_it(tmp_path: Path) -> None:
    assert COMMAND in await _refused(database(tmp_path), IncompatibleSchema)
    assert not database(tmp_path).exists()


async def test_an_empty_file_wants_to_be_migrated(tmp_path: Path) -> None:
    database(tmp_path).touch()
    assert COMMAND in await _refused(database(tmp_path), IncompatibleSchema)


async def test_a_schema_that_is_behind_wants_to_be_migrated(tmp_path: Path) -> None:
    path = database(tmp_path)
    await migrate_sqlite(path, CIPHER)
    _execute(path, "UPDATE notification_schema SET version_num = '0000'")
    assert COMMAND in await _refused(path, IncompatibleSchema)


async def test_a_newer_schema_that_is_still_compatible_is_opened(tmp_path: Path) -> None:
    path = database(tmp_path)
    await migrate_sqlite(path, CIPHER)
    _execute(path, "UPDATE notification_schema SET version_num = '9998'")
    await _open(path)
    await migrate_sqlite(path, CIPHER)


async def test_a_newer_schema_that_is_no_longer_compatible_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path)
    await migrate_sqlite(path, CIPHER)
    _execute(
        path,
        "UPDATE notification_schema SET version_num = '9999'",
        "UPDATE instance SET oldest_compatible = '9998'",
    )
    sentence = await _refused(path, IncompatibleSchema)
    assert "newer version" in sentence
    with pytest.raises(IncompatibleSchema):
        await migrate_sqlite(path, CIPHER)


async def test_an_sqlite_that_is_too_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StorageUnusable, match=r"3\.35 is needed"):
        await migrate_sqlite(database(tmp_path), CIPHER)


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "directory" in await _refused(tmp_path, StorageUnusable)
    with pytest.raises(StorageUnusable):
        await migrate_sqlite(tmp_path, CIPHER)


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "n.sqlite"
    with pytest.raises(StorageUnusable, match="missing"):
        await migrate_sqlite(path, CIPHER)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = database(tmp_path)
    path.write_bytes(b"Dear diary, " * 1000)
    assert "not an SQLite database" in await _refused(path, StorageUnusable)
    with pytest.raises(StorageUnusable):
        await migrate_sqlite(path, CIPHER)
    assert path.read_bytes() == b"Dear diary, " * 1000


async def test_a_corrupt_database_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path)
    await migrate_sqlite(path, CIPHER)
    content = bytearray(path.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    path.write_bytes(content)
    assert "corrupt" in await _refused(path, StorageUnusable)


async def test_another_programs_tables_of_our_names_are_left_alone(tmp_path: Path) -> None:
    path = database(tmp_path)
    _execute(path, "CREATE TABLE events (what)")
    before = _schema(path)
    with pytest.raises(StorageUnusable, match=r"another program.*events"):
        await migrate_sqlite(path, CIPHER)
    assert _schema(path) == before


async def test_an_awkward_path_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "ä b%20c?mode=ro#d"
    folder.mkdir()
    await migrate_sqlite(database(folder), CIPHER)
    await _open(database(folder))
    assert database(folder).exists()


async def test_another_secret_is_refused_and_a_previous_one_is_not(tmp_path: Path) -> None:
    path, other = database(tmp_path), "f" * 32
    await migrate_sqlite(path, CIPHER)
    with pytest.raises(WrongEncryptionSecret) as caught:
        await _open(path, Cipher(other))
    assert other not in str(caught.value)
    assert SECRET not in str(caught.value)
    with pytest.raises(WrongEncryptionSecret):
        await migrate_sqlite(path, Cipher(other))
    await _open(path, Cipher(other, previous=[SECRET]))
