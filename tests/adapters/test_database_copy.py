"""Copying a SQLite database to PostgreSQL: all of it, interrupted or not, and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from notification_adapters.clock import SystemClock
from notification_adapters.memory import ManualClock
from notification_adapters.sql import SqlStorage, database_copy
from notification_adapters.sql.database_copy import open_copy
from notification_adapters.sql.instants import Instant
from notification_adapters.sql.migrations import schema
from notification_adapters.sql.postgres import Server, migrate_postgres, open_postgres
from notification_adapters.sql.sqlite import database as sqlite_database
from notification_adapters.sql.sqlite import open_sqlite, open_sqlite_database
from notification_adapters.sql.tables import SCHEMA, webhooks
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.errors import (
    IncompatibleSchema,
    InvalidInput,
    StorageUnavailable,
    StorageUnusable,
    WrongEncryptionSecret,
)
from notification_core.model.delivery import DeliveryState, Failed
from notification_core.model.signing_key import new_signing_key
from tests.adapters.sql_storages import database, opened
from tests.contracts.harness import harness_of, ids_of, sql_probe, standing_still
from tests.support.postgres_server import CIPHER, SECRET, PostgresServer
from tests.support.sqlite_template import make_sqlite

ROWS = 4
OF_ONE_ROW = {"instance", "outbox_lease", "webhooks_revision"}
FILLED = [table for table in SCHEMA.sorted_tables if table.name not in OF_ONE_ROW]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_copy, "_ROWS", 3)


@pytest.fixture
async def source(tmp_path: Path) -> Path:
    """Give a database in which every column of every table has values, each its own."""
    await make_sqlite(database(tmp_path))
    async with opened(tmp_path) as storage, storage.database.write_transaction() as connection:
        for place, table in enumerate(FILLED):
            rows = [
                {column.name: _value(column, place * ROWS + number) for column in table.columns}
                for number in range(1, ROWS + 1)
            ]
            await connection.execute(sa.insert(table), rows)
        await connection.execute(sa.text("UPDATE instance SET last_position = 1234"))
        await connection.execute(sa.text("UPDATE webhooks_revision SET revision = 99"))
    return database(tmp_path)


@pytest.fixture
async def target(postgres: PostgresServer) -> AsyncIterator[Server]:
    """Give an empty database."""
    async with postgres.database(empty=True) as name:
        yield postgres.server(name)


def _value(column: sa.Column[Any], number: int) -> object:
    values: dict[type[Any], Callable[[], object]] = {
        sa.Uuid: lambda: UUID(int=number << 96 | number),
        Instant: lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=number),
        sa.LargeBinary: lambda: bytes([0, number, 255]),
        sa.Boolean: lambda: bool(number % 2),
        sa.Text: lambda: f"{column.name} é {number}",
    }
    made = values.get(type(column.type))
    return made() if made else number


async def _copied(source: Path, target: Server) -> dict[str, int]:
    async with open_copy(source, target, CIPHER) as copy:
        await copy.prepare()
        await copy.copy(lambda _: None)
        return dict(await copy.finish(lambda _: None))


async def _contents(storage: SqlStorage) -> dict[str, list[tuple[Any, ...]]]:
    async with storage.database.read_transaction() as connection:
        return {
            table.name: [
                tuple(row)
                for row in await connection.execute(sa.select(table).order_by(*table.primary_key))
            ]
            for table in SCHEMA.sorted_tables
        }


class _Killed(Exception):
    """The copying process ends here."""


def _killed_after(most: int) -> Callable[[int], None]:
    def tell(count: int) -> None:
        if count >= most:
            raise _Killed

    return tell


async def _interrupt(source: Path, target: Server, after: int) -> None:
    async with open_copy(source, target, CIPHER) as copy:
        await copy.prepare()
        with pytest.raises(_Killed):
            await copy.copy(_killed_after(after))


async def test_every_column_of_every_table_arrives(
    source: Path, target: Server, tmp_path: Path
) -> None:
    before = await asyncio.to_thread(source.read_bytes)
    counts = await _copied(source, target)
    assert await asyncio.to_thread(source.read_bytes) == before, "the source is only read"
    assert counts == {table.name: ROWS for table in FILLED}
    async with opened(tmp_path) as ours, opened(target) as theirs:
        assert await _contents(theirs) == await _contents(ours)
        async with theirs.database.write_transaction() as connection:
            positions = sa.text("SELECT nextval('delivery_positions')")
            assert (await connection.execute(positions)).scalar_one() == 1235


async def test_an_interrupted_copy_is_not_served_and_continues(
    source: Path, target: Server, tmp_path: Path
) -> None:
    for after in (1, 20, ROWS * len(FILLED)):
        await _interrupt(source, target, after)
        with pytest.raises(IncompatibleSchema, match="notification-management copy"):
            async with opened(target):
                pytest.fail("it is served")
        with pytest.raises(IncompatibleSchema, match="notification-management copy"):
            await migrate_postgres(target, CIPHER)
    counted: list[int] = []
    async with open_copy(source, target, CIPHER) as copy:
        await copy.prepare()
        assert await copy.count() == ROWS * len(FILLED)
        await copy.copy(counted.append)
        await copy.finish(lambda _: None)
    assert counted[-1] == ROWS * len(FILLED)
    async with opened(tmp_path) as ours, opened(target) as theirs:
        assert await _contents(theirs) == await _contents(ours)


async def test_a_source_that_was_changed_since_the_copy_began_is_noticed(
    source: Path, target: Server, tmp_path: Path
) -> None:
    await _interrupt(source, target, ROWS * len(FILLED))
    async with opened(tmp_path) as storage, storage.database.write_transaction() as connection:
        await connection.execute(sa.update(webhooks).values(name="another"))
    with pytest.raises(StorageUnusable, match=r"rows of webhooks differ"):
        await _copied(source, target)
    with pytest.raises(IncompatibleSchema, match="unfinished copy"):
        async with opened(target):
            pytest.fail("it is served")


async def test_only_an_empty_database_or_the_same_copy_is_written_to(
    source: Path, target: Server, tmp_path: Path
) -> None:
    await _interrupt(source, target, 1)
    renewed = Cipher("another secret of 32 characters.", [SECRET])
    async with opened(tmp_path) as storage:
        await schema.renew_canary(storage.database, renewed)
    async with open_copy(source, target, renewed) as copy:
        with pytest.raises(StorageUnusable, match="unfinished copy of another database"):
            await copy.prepare()


async def test_a_database_in_which_something_is_stored_is_left_alone(
    source: Path, target: Server
) -> None:
    await _copied(source, target)
    with pytest.raises(StorageUnusable, match=r"is not empty: .*webhooks.* Name an empty database"):
        await _copied(source, target)
    async with opened(target):
        """It is served as before."""


async def test_a_source_that_a_process_has_open_is_refused(
    source: Path, target: Server, tmp_path: Path
) -> None:
    async with opened(tmp_path):
        with pytest.raises(StorageUnusable, match="Stop all processes"):
            await _copied(source, target)


async def test_while_it_is_copied_nobody_writes_to_the_source(
    source: Path, target: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "BUSY_TIMEOUT", timedelta(milliseconds=10))
    async with open_copy(source, target, CIPHER):
        with pytest.raises(StorageUnavailable, match="another process holds it"):
            async with open_sqlite_database(source, SystemClock()):
                pytest.fail("it writes")


async def test_another_secret_is_refused(source: Path, target: Server) -> None:
    with pytest.raises(WrongEncryptionSecret, match="DB_ENCRYPTION_SECRET"):
        async with open_copy(source, target, Cipher("another secret of 32 characters.")):
            pytest.fail("it is copied")


async def test_a_text_that_postgresql_does_not_take_is_named_by_its_table(
    source: Path, target: Server, tmp_path: Path
) -> None:
    async with opened(tmp_path) as storage, storage.database.write_transaction() as connection:
        await connection.execute(sa.update(webhooks).values(name="\0"))
    with pytest.raises(InvalidInput, match=r"webhooks cannot be copied.*U\+0000"):
        await _copied(source, target)


async def test_the_copy_is_delivered_from_where_the_source_stopped(
    target: Server, tmp_path: Path
) -> None:
    clock, path = ManualClock(), database(tmp_path)
    ids, now = IdGenerator(clock), standing_still(clock)
    await make_sqlite(path)
    async with open_sqlite(path, CIPHER, clock, ids) as storage:
        ours = harness_of(storage, storage, clock, ids, sql_probe(storage))
        webhook = await ours.webhook(custom_headers={"authorization": "Bearer é"})
        key = new_signing_key(ours.environment_id, clock.now(), b"k" * 32, 1)
        await storage.signing_keys.add_first(key)
        await ours.finish(await ours.begin(webhook))
        await ours.finish(await ours.begin(webhook), Failed())
        in_flight = (await ours.begin(webhook)).fence.delivery_id
        pending = await ours.publish(webhook, 2)
        in_line = await ours.webhook(ordered=True)
        first, second = await ours.publish(in_line, 2, key="a")
        log = await ours.log(webhook)
    await _copied(path, target)
    async with open_postgres(target, CIPHER, clock, ids, now) as storage:
        theirs = harness_of(storage, storage, clock, ids, sql_probe(storage))
        assert await storage.webhooks.get(ours.environment_id, webhook.webhook_id) == webhook
        assert await storage.signing_keys.keys_of([ours.environment_id]) == [key]
        assert await theirs.log(webhook) == log
        claimed = await theirs.claim()
        assert sorted(ids_of(claimed)) == sorted([*pending, first])
        for one in claimed.deliveries:
            await theirs.finish(one)
        third = await theirs.publish(in_line, 1, key="a")
        assert ids_of(await theirs.claim()) == [second]
        assert (await theirs.probe(third[0])).state is DeliveryState.PENDING
        # Its worker ended without a word: it waits for its lease, or for a look at dead workers.
        assert (await theirs.probe(in_flight)).worker == ours.worker
