"""PostgreSQL under trouble: away, read-only, slow, in a deadlock, out of connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import asyncpg
import pytest
import sqlalchemy as sa
from attrs import evolve, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.installation_tables import webhooks_revision
from notification_adapters.sql.postgres import Server, pool
from notification_adapters.sql.postgres.driver import driver_of, run
from notification_adapters.sql.postgres.errors import map_errors
from notification_core.errors import (
    InvalidInput,
    StorageUnavailable,
    StorageUnusable,
    TransactionLost,
    UnknownCommit,
)
from notification_core.model.event import Arrival
from tests.adapters.sql_storages import ENVIRONMENT_ID, add_webhook, event, ingest, opened
from tests.support.assembly import App
from tests.support.postgres_server import PostgresServer

_THEIRS = """
INSERT INTO events (event_id, environment_id, type, occurred_at, stored_at)
VALUES ($1, $2, 'job-created', now(), now())
"""
_CUT_OFF = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"


@frozen
class Place:
    """A test's database, and how to do something to it from outside."""

    postgres: PostgresServer
    database: str

    @property
    def server(self) -> Server:
        """How it is reached."""
        return self.postgres.server(self.database)

    async def cut_off(self) -> None:
        """End all sessions of this database, as its operator would."""
        async with self.postgres.connected() as operator:
            await operator.execute(_CUT_OFF, self.database)

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        async with self.postgres.connected(self.database) as connection:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a test's own word


@pytest.fixture
async def place(postgres: PostgresServer) -> AsyncIterator[Place]:
    """Make an empty database."""
    async with postgres.database() as database:
        yield Place(postgres, database)


@pytest.fixture
async def storage(place: Place) -> AsyncIterator[SqlStorage]:
    """Open an empty database."""
    async with opened(place.server) as storage:
        yield storage


async def test_schedules_go_by_the_servers_clock(storage: SqlStorage) -> None:
    async with storage.database.write_transaction() as connection:
        first = await storage.database.dialect.now(connection)
        await asyncio.sleep(0.01)
        assert await storage.database.dialect.now(connection) == first, "one moment a transaction"
        told = (await connection.execute(sa.select(sa.func.now()))).scalar_one()
    assert told == first
    async with storage.database.write_transaction() as connection:
        assert await storage.database.dialect.now(connection) > first


async def test_cut_connections_are_reopened(storage: SqlStorage, place: Place) -> None:
    for _ in range(3):
        assert await storage.webhooks.webhooks_revision() == 0
        await place.cut_off()
        assert await storage.webhooks.webhooks_revision() == 0


async def test_a_transaction_that_is_cut_off_stores_nothing(
    storage: SqlStorage, place: Place
) -> None:
    with pytest.raises(UnknownCommit):
        await _ingest_and_break(storage, place.cut_off)
    assert await ingest(storage, event("e-1")) == [Arrival.NEW]


@pytest.mark.experiment(12, "the database turned read-only under the engine")
async def test_a_database_that_turned_read_only_is_left_and_found_again(
    storage: SqlStorage, place: Place
) -> None:
    read_only = f"ALTER DATABASE {place.database} SET default_transaction_read_only"
    before = await _pid(storage)
    with pytest.raises(StorageUnavailable, match="read-only"):
        await _change_when_read_only(storage)
    assert await _pid(storage) != before, "another connection is lent, which may lead elsewhere"
    await place.postgres.execute(f"{read_only} = on")
    assert await ingest(storage, event("e-1")) == [Arrival.NEW], "we say what we want"


@pytest.mark.experiment(14, "a statement's time is over")
async def test_a_slow_statement_is_given_up_and_done_again(
    storage: SqlStorage, place: Place
) -> None:
    webhook = await add_webhook(storage)
    async with place.postgres.connected(place.database) as other:
        await other.execute("BEGIN; LOCK TABLE webhooks")
        with _statement_timeout(storage, "50ms"):
            changing = asyncio.create_task(
                storage.webhooks.replace(evolve(webhook, name="new", version=2))
            )
            await asyncio.sleep(0.07)
        await other.execute("ROLLBACK")
        assert await changing == 2  # after the one that made it


async def test_what_is_slow_again_and_again_is_given_up(storage: SqlStorage, place: Place) -> None:
    webhook = await add_webhook(storage)
    async with place.postgres.connected(place.database) as other:
        await other.execute("BEGIN; LOCK TABLE webhooks")
        with (
            _statement_timeout(storage, "10ms"),
            pytest.raises(StorageUnavailable, match="too long"),
        ):
            await storage.webhooks.replace(evolve(webhook, name="new", version=2))
        await other.execute("ROLLBACK")
    assert await storage.webhooks.list(ENVIRONMENT_ID) == [webhook]


@pytest.mark.experiment(14, "two in a deadlock")
async def test_of_two_in_a_deadlock_both_get_through(storage: SqlStorage, place: Place) -> None:
    webhook = await add_webhook(storage)
    async with place.postgres.connected(place.database) as other:
        await other.execute("SET deadlock_timeout = '10s'; BEGIN")
        await other.execute("UPDATE webhooks_revision SET revision = 7")
        changing = asyncio.create_task(
            storage.webhooks.replace(evolve(webhook, name="new", version=2))
        )
        await _until_somebody_waits(other)
        await other.execute("UPDATE webhooks SET name = 'theirs'")
        await other.execute("COMMIT")
        assert await changing == 8
    (stored,) = await storage.webhooks.list(ENVIRONMENT_ID)
    assert stored.name == "new"


async def test_of_two_in_a_deadlock_events_get_through_too(
    storage: SqlStorage, place: Place
) -> None:
    webhook, app = await add_webhook(storage), App(storage=storage, clock=SystemClock())
    one, other = event("e-1"), event("e-2")
    async with place.postgres.connected(place.database) as theirs:
        await theirs.execute("SET deadlock_timeout = '10s'; BEGIN")
        await theirs.execute(_THEIRS, "e-2", ENVIRONMENT_ID)
        publishing = asyncio.ensure_future(app.ingest.publish([one.event, other.event]))
        await _until_somebody_waits(theirs)
        # Now each waits for the other, and the server undoes what has waited for a second.
        await theirs.execute(_THEIRS, "e-1", ENVIRONMENT_ID)
        await theirs.execute("ROLLBACK")
        published = await publishing
    assert [each.duplicate for each in published] == [False, False]
    assert (app.observer.new, app.observer.stored) == (2, (0, 2, 0)), (
        "it is stored and told of once"
    )
    assert await place.count("deliveries") == 2
    assert (await storage.webhooks.list(ENVIRONMENT_ID)) == [webhook]


async def test_more_who_want_a_connection_than_there_are_wait_for_one(place: Place) -> None:
    async with opened(evolve(place.server, pool_size=2)) as storage:
        reading = [storage.webhooks.webhooks_revision() for _ in range(100)]
        assert set(await asyncio.gather(*reading)) == {0}
        async with place.postgres.connected() as other:
            count = await other.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", place.database
            )
        assert count <= 2


async def test_who_waits_too_long_for_a_connection_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_WAIT_SECONDS", 0.05)
    async with opened(evolve(place.server, pool_size=1)) as storage:
        async with storage.database.read_transaction():
            with pytest.raises(StorageUnavailable, match="became free"):
                await storage.webhooks.webhooks_revision()
        assert await storage.webhooks.webhooks_revision() == 0


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    nowhere = Server("postgresql://postgres@127.0.0.1:1/nothing")
    with pytest.raises(StorageUnavailable, match="reached"):
        await _open(nowhere)


async def test_a_database_that_does_not_exist_is_named_as_the_fault(place: Place) -> None:
    with pytest.raises(StorageUnusable, match="create it"):
        await _open(place.postgres.server("no_such_database"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (asyncpg.DeadlockDetectedError, TransactionLost),
        (asyncpg.SerializationError, TransactionLost),
        (asyncpg.QueryCanceledError, TransactionLost),
        (asyncpg.AdminShutdownError, StorageUnavailable),
        (asyncpg.CannotConnectNowError, StorageUnavailable),
        (asyncpg.ConnectionDoesNotExistError, StorageUnavailable),
        (asyncpg.DiskFullError, StorageUnavailable),
        (asyncpg.TooManyConnectionsError, StorageUnavailable),
        (asyncpg.ReadOnlySQLTransactionError, StorageUnavailable),
        (asyncpg.PostgresIOError, StorageUnavailable),
        (asyncpg.InvalidPasswordError, StorageUnusable),
        (asyncpg.CharacterNotInRepertoireError, InvalidInput),
        (asyncpg.DataCorruptedError, StorageUnusable),
        (asyncpg.UndefinedTableError, asyncpg.UndefinedTableError),
        (asyncpg.UniqueViolationError, asyncpg.UniqueViolationError),
        (ConnectionResetError, StorageUnavailable),
        (TimeoutError, StorageUnavailable),
    ],
)
def test_the_drivers_errors_become_the_ports(
    error: type[Exception], expected: type[Exception]
) -> None:
    with pytest.raises(expected), map_errors():
        raise error("as the driver says it")


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (asyncpg.AdminShutdownError, True),
        (asyncpg.ConnectionDoesNotExistError, True),
        (ConnectionResetError, True),
        (TimeoutError, True),
        (asyncpg.DiskFullError, False),
        (asyncpg.SerializationError, False),
    ],
)
def test_a_commit_that_failed_is_unknown_unless_it_certainly_did_not_happen(
    error: type[Exception],
    unknown: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    with pytest.raises(StorageUnavailable) as caught, map_errors(commits=True):
        raise error("as the driver says it")
    assert isinstance(caught.value, UnknownCommit) is unknown


async def _change_when_read_only(storage: SqlStorage) -> None:
    async with storage.database.write_transaction() as connection:
        await run(connection, "SET TRANSACTION READ ONLY")
        await connection.execute(sa.update(webhooks_revision).values(revision=7))


async def _pid(storage: SqlStorage) -> int:
    async with storage.database.write_transaction() as connection:
        return driver_of(connection).get_server_pid()


async def _ingest_and_break(storage: SqlStorage, breaking: Callable[[], Awaitable[object]]) -> None:
    async with storage.deliveries.ingesting() as transaction:
        await transaction.add_events([event("e-1")])
        await breaking()


async def _open(server: Server) -> None:
    async with opened(server):
        pass


async def _until_somebody_waits(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(1000):
        if await connection.fetchval(waiting):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits for a lock")


@contextmanager
def _statement_timeout(storage: SqlStorage, limit: str) -> Iterator[None]:
    """Have each transaction that is begun meanwhile bound its statements."""
    database = storage.database
    before = database._write  # type: ignore[attr-defined]  # noqa: SLF001 - no setting does it
    database._write = f"{before}; SET LOCAL statement_timeout = '{limit}'"  # type: ignore[attr-defined]  # noqa: SLF001 - the same
    yield
    database._write = before  # type: ignore[attr-defined]  # noqa: SLF001 - the same
