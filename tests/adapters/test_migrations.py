"""From one version of the schema to the next, on a database in use, on both engines.

The code of the former version is here by the statements that it makes: they work before, during
and after, so that old and new processes run side by side.
"""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.database import Database
from notification_adapters.sql.migrations import schema, upgrading
from notification_adapters.sql.postgres import (
    migrate_postgres,
    open_postgres,
    open_postgres_database,
)
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite, open_sqlite_database
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import IncompatibleSchema
from tests.support.postgres_server import CIPHER, PostgresServer
from tests.support.waiting import until

ENVIRONMENT = UUID(int=7)
FILTER = '{"required":["data"]}'
NOW = datetime(2026, 11, 24, 9, 31, tzinfo=UTC)

# What version 0001 says of webhooks.
COLUMNS_0001 = (
    "webhook_id", "environment_id", "name", "url", "method", "events", "description",
    "custom_headers", "disabled_until", "disabled_reason", "disabled_at", "version", "created_at",
    "updated_at", "deleted_at",
)  # fmt: skip
ADD = f"""
INSERT INTO webhooks ({", ".join(COLUMNS_0001)})
VALUES (:0, :1, 'one', 'https://example.com/', 'post', '["job-completed"]', NULL, NULL, NULL, NULL,
  NULL, 1, :2, :2, NULL)
"""  # noqa: S608 - the columns' names are ours
CHANGE = "UPDATE webhooks SET name = :0, version = version + 1 WHERE webhook_id = :1"
READ = f"SELECT {', '.join(COLUMNS_0001)} FROM webhooks WHERE environment_id = :0"  # noqa: S608
LOG = """
INSERT INTO attempts (log_id, environment_id, webhook_id, delivery_id, event_id, event_type,
  attempt, outcome, started_at, duration_us)
VALUES (:0, :2, :1, :0, 'one', 'job-completed', 1, 'succeeded', :3, 5)
"""
ROOT = Path(__file__).parents[2]
KILLED = """
import asyncio, os, signal, sys
from notification_adapters.sql.migrations import schema
from sqlalchemy import Engine, event
from tests.adapters.test_migrations import PostgresPlace, SqlitePlace

@event.listens_for(Engine, "after_cursor_execute")
def kill(connection, cursor, statement, *_):
    if statement.startswith("ALTER TABLE webhooks"):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run({place}.migrate())
"""


class Place(ABC):
    """A database, as the new code and as the former code have it."""

    @property
    @abstractmethod
    def expression(self) -> str:
        """What makes the same place in another process."""

    @abstractmethod
    def database(self) -> AbstractAsyncContextManager[Database]:
        """Open it as a migration does."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[SqlStorage]:
        """Open it as a process of this version does."""

    @abstractmethod
    async def migrate(self) -> None:
        """Bring it to this version."""

    @abstractmethod
    async def run(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run a statement of the former version."""

    async def make_0001(self) -> None:
        async with self.database() as database, database.migration_transaction() as connection:
            await connection.run_sync(upgrading.upgrade, "0001")

    async def version(self) -> str:
        ((version,),) = await self.run("SELECT version_num FROM notification_schema")
        return str(version)


@frozen
class SqlitePlace(Place):
    path: Path

    @property
    def expression(self) -> str:
        return f"SqlitePlace(__import__('pathlib').Path({str(self.path)!r}))"

    def database(self) -> AbstractAsyncContextManager[Database]:
        return open_sqlite_database(self.path, SystemClock(), create=True)

    def open(self) -> AbstractAsyncContextManager[SqlStorage]:
        clock = SystemClock()
        return open_sqlite(self.path, CIPHER, clock, IdGenerator(clock))

    async def migrate(self) -> None:
        await migrate_sqlite(self.path, CIPHER)

    async def run(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        raw = {str(place): self._raw(value) for place, value in enumerate(values)}

        def execute() -> Sequence[Sequence[Any]]:
            with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
                return connection.execute(statement, raw).fetchall()

        return await asyncio.to_thread(execute)

    def _raw(self, value: Any) -> Any:
        if isinstance(value, UUID):
            return value.hex
        return int(value.timestamp() * 1e6) if isinstance(value, datetime) else value


@frozen
class PostgresPlace(Place):
    postgres: PostgresServer
    name: str

    @property
    def expression(self) -> str:
        return (
            "PostgresPlace(__import__('tests.support.postgres_server', fromlist=['x'])"
            f".PostgresServer({self.postgres.uri!r}), {self.name!r})"
        )

    def database(self) -> AbstractAsyncContextManager[Database]:
        return open_postgres_database(self.postgres.server(self.name))

    def open(self) -> AbstractAsyncContextManager[SqlStorage]:
        clock = SystemClock()
        server = self.postgres.server(self.name)
        return open_postgres(server, CIPHER, clock, IdGenerator(clock))

    async def migrate(self) -> None:
        await migrate_postgres(self.postgres.server(self.name), CIPHER)

    async def run(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        for place in range(len(values)):
            statement = statement.replace(f":{place}", f"${place + 1}")
        async with self.postgres.connected(self.name) as connection:
            return [tuple(row) for row in await connection.fetch(statement, *values)]


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Make a full database of version 0001."""
    made: Place
    if request.param == "sqlite":
        made = SqlitePlace(tmp_path / "n.sqlite")
        await _fill(made)
        yield made
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    async with postgres.database(empty=True) as name:
        made = PostgresPlace(postgres, name)
        await _fill(made)
        yield made


async def _fill(place: Place) -> None:
    await place.make_0001()
    for number in range(50):
        await place.run(ADD, UUID(int=number), ENVIRONMENT, NOW)


async def test_the_former_code_reads_and_writes_before_while_and_after_it_is_migrated(
    place: Place,
) -> None:
    done = 0
    ended = asyncio.Event()

    async def former_code() -> None:
        nonlocal done
        while not ended.is_set():
            number = done % 50
            await place.run(CHANGE, f"name {done}", UUID(int=number))
            await place.run(ADD, UUID(int=1_000 + done), ENVIRONMENT, NOW)
            rows = await place.run(READ, ENVIRONMENT)
            assert len(rows) == 51 + done
            assert f"name {done}" in {row[2] for row in rows}
            done += 1

    async def has_done(count: int) -> bool:
        return done >= count or former.done()

    former = asyncio.create_task(former_code())
    await until("the former code runs", lambda: has_done(3))
    await place.migrate()
    then = done
    await until("it goes on", lambda: has_done(then + 3))
    ended.set()
    await former
    assert await place.version() == schema.VERSION == "0006"
    assert await place.run("SELECT oldest_compatible FROM instance") == [("0001",)]


async def test_all_that_was_there_is_there_and_has_no_filter(place: Place) -> None:
    before = await place.run(READ, ENVIRONMENT)
    with pytest.raises(IncompatibleSchema, match="0001, older than this version's 0006"):
        async with place.open():
            pass
    await place.migrate()
    assert {*await place.run(READ, ENVIRONMENT)} == {*before}
    async with place.open() as storage:
        webhooks = await storage.webhooks.list(ENVIRONMENT)
    assert len(webhooks) == 50
    assert {webhook.filter for webhook in webhooks} == {None}


async def test_the_former_code_leaves_a_filter_alone(place: Place) -> None:
    await place.migrate()
    async with place.open() as storage:
        webhook = await storage.webhooks.get(ENVIRONMENT, UUID(int=3))
        changed = evolve(webhook, filter=FILTER, version=webhook.version + 1)
        await storage.webhooks.replace(changed)
        await place.run(CHANGE, "another", webhook.webhook_id)
        stored = await storage.webhooks.get(ENVIRONMENT, webhook.webhook_id)
    assert (stored.name, stored.filter) == ("another", FILTER)


async def test_what_the_former_code_logs_and_had_logged_has_no_phases(place: Place) -> None:
    await place.run(LOG, UUID(int=1), UUID(int=8), ENVIRONMENT, NOW)
    await place.migrate()
    await place.run(LOG, UUID(int=2), UUID(int=8), ENVIRONMENT, NOW)
    async with place.open() as storage:
        page = await storage.logs.page(ENVIRONMENT, UUID(int=8), limit=10)
    assert [attempt.phases for attempt in page.rows] == [None, None]


async def test_killed_during_it_leaves_the_previous_version_and_the_next_one_is_whole(
    place: Place,
) -> None:
    script = KILLED.format(place=place.expression)
    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script],
        # The folder of the tests comes last: before it the product is found where it is installed.
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert await place.version() == "0001"
    await place.run(ADD, UUID(int=100), ENVIRONMENT, NOW)
    await place.migrate()
    assert await place.version() == "0006"
    async with place.open() as storage:
        webhooks = await storage.webhooks.list(ENVIRONMENT)
        assert len(webhooks) == 51
        changed = evolve(webhooks[0], filter=FILTER, version=webhooks[0].version + 1)
        await storage.webhooks.replace(changed)
        stored = await storage.webhooks.get(ENVIRONMENT, changed.webhook_id)
    assert json.loads(stored.filter or "") == {"required": ["data"]}
