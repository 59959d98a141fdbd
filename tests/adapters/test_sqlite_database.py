"""SQLite under trouble: busy, full, read-only, cancelled and short of connections."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.installation_tables import webhooks_revision
from notification_adapters.sql.sqlite.connections import SqliteConnection, SqlitePool, driver_of
from notification_adapters.sql.sqlite.database import READERS
from notification_adapters.sql.sqlite.errors import CommitFailed, map_errors
from notification_core.errors import StorageUnavailable, StorageUnusable, UnknownCommit
from notification_core.model.event import Arrival
from tests.adapters.sql_storages import database, event, ingest, opened
from tests.adapters.sqlite_connections import pragma
from tests.support.sqlite_template import make_sqlite
from tests.support.waiting import PATIENCE, until


@pytest.fixture
def storage(sqlite_storage: SqlStorage) -> SqlStorage:
    return sqlite_storage


async def test_a_commit_survives_a_power_cut_and_readers_do_not_block(
    storage: SqlStorage,
) -> None:
    async with storage.database.write_transaction() as connection:
        mode = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one()
        synchronous = (await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one()
    assert (mode, synchronous) == ("wal", 2), "2 is FULL"


async def test_writers_wait_their_turn_and_no_update_gets_lost(storage: SqlStorage) -> None:
    order: list[int] = []

    async def count(number: int) -> None:
        async with storage.database.write_transaction() as connection:
            order.append(number)
            seen = (await connection.execute(sa.select(webhooks_revision.c.revision))).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(sa.update(webhooks_revision).values(revision=seen + 1))

    await asyncio.gather(*(count(number) for number in range(50)))
    assert await storage.webhooks.webhooks_revision() == 50
    assert order == sorted(order)


@pytest.mark.experiment(24, "two processes write to one file")
async def test_two_processes_lose_no_update(storage: SqlStorage, tmp_path: Path) -> None:
    async with opened(tmp_path) as rival:
        events = [event(f"e-{number}") for number in range(100)]
        writing = [ingest(one, each) for each in events for one in (storage, rival)]
        arrivals = [arrival for told in await asyncio.gather(*writing) for arrival in told]
    assert sorted(arrivals) == [Arrival.DUPLICATE] * 100 + [Arrival.NEW] * 100


@pytest.mark.experiment(24, "another process holds the file")
async def test_a_database_that_another_process_holds_is_busy_and_then_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "notification_adapters.sql.sqlite.database.BUSY_TIMEOUT", timedelta(milliseconds=50)
    )
    await make_sqlite(database(tmp_path))
    async with opened(tmp_path) as storage:
        with closing(sqlite3.connect(database(tmp_path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailable, match="busy"):
                await ingest(storage, event("e-1"))
            assert await storage.webhooks.webhooks_revision() == 0, "reading goes on"
        assert await ingest(storage, event("e-1")) == [Arrival.NEW]


@pytest.mark.experiment(23, "the disk is full in the middle of a batch")
async def test_a_full_disk_stores_nothing_of_a_batch_and_is_no_end(tmp_path: Path) -> None:
    await make_sqlite(database(tmp_path))
    with pragma("max_page_count = 60"):
        async with opened(tmp_path) as storage:
            assert await ingest(storage, event("small")) == [Arrival.NEW]
            large = [event(f"e-{number}", b'"%s"' % (b"x" * 50_000)) for number in range(9)]
            with pytest.raises(StorageUnavailable, match="full"):
                await ingest(storage, *large)
            assert await ingest(storage, event("e-0")) == [Arrival.NEW]
    async with opened(tmp_path) as storage:
        arrivals = await ingest(storage, *large)
        assert arrivals == [Arrival.CONFLICT] + [Arrival.NEW] * 8


async def test_a_connection_whose_statement_was_given_up_is_lent_again_when_that_has_ended(
    storage: SqlStorage,
) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def take_long(_: sqlite3.Connection) -> None:
        begun.set()
        let_go.wait(PATIENCE)

    async def look_for_long() -> None:
        async with storage.database.read_transaction() as connection:
            driver = driver_of(connection)
            assert isinstance(driver, SqliteConnection)
            driver.put_off.append(take_long)
            await storage.database.dialect.webhooks_revision(connection)

    async def is_under_way() -> bool:
        return begun.is_set() and storage.database.open_transactions == 1

    async def is_free() -> bool:
        return storage.database.open_transactions == 0

    looking = asyncio.create_task(look_for_long())
    await until("it is under way", is_under_way)
    looking.cancel()
    others = [storage.webhooks.webhooks_revision() for _ in range(2 * READERS)]
    assert set(await asyncio.gather(*others)) == {0}
    assert await is_under_way()
    let_go.set()
    await asyncio.gather(looking, return_exceptions=True)
    await until("it is free", is_free)


async def test_a_statement_that_is_cancelled_costs_no_connection(storage: SqlStorage) -> None:
    await asyncio.gather(*(storage.ping() for _ in range(READERS)))
    before = set(threading.enumerate())
    for _ in range(10):
        pinging = asyncio.create_task(storage.ping())
        await asyncio.sleep(0)
        pinging.cancel()
        await asyncio.gather(pinging, return_exceptions=True)
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("turns", range(0, 10, 2))
async def test_whenever_a_reader_is_cancelled_it_holds_on_to_nothing(
    storage: SqlStorage, tmp_path: Path, turns: int
) -> None:
    async def nobody_reads_what_was_before() -> bool:
        """Tell whether the log of writes can be cut: not while somebody reads an older state."""
        with closing(sqlite3.connect(database(tmp_path), timeout=0)) as other:
            (busy, _, _) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    readings = [asyncio.create_task(storage.webhooks.webhooks_revision()) for _ in range(2)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for reading in readings:
        reading.cancel()
    await asyncio.gather(*readings, return_exceptions=True)
    assert await ingest(storage, event("e-1")) == [Arrival.NEW]
    await until("nobody reads", nobody_reads_what_was_before)


def _failed(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as the driver says it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StorageUnavailable),
        (sqlite3.SQLITE_FULL, StorageUnavailable),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageUnavailable),
        (sqlite3.SQLITE_READONLY_DBMOVED, StorageUnavailable),
        (sqlite3.SQLITE_CORRUPT_VTAB, StorageUnusable),
        (sqlite3.SQLITE_NOTADB, StorageUnusable),
        (sqlite3.SQLITE_ERROR, sqlite3.OperationalError),
    ],
)
def test_the_drivers_errors_become_the_ports(code: int, expected: type[Exception]) -> None:
    with pytest.raises(expected), map_errors():
        raise _failed(code)
    with pytest.raises((expected, OperationalError)), map_errors():
        raise OperationalError("SELECT secret", {}, _failed(code))


@pytest.mark.parametrize(
    ("code", "unknown"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_BUSY, False),
    ],
)
def test_a_commit_that_failed_is_unknown_unless_it_certainly_did_not_happen(
    code: int,
    unknown: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    with pytest.raises(StorageUnavailable) as caught, map_errors():
        raise CommitFailed(_failed(code))
    assert isinstance(caught.value, UnknownCommit) is unknown


def test_a_file_that_cannot_be_opened_leaves_no_thread_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the driver's thread reports to a loop that is closed by then, with a traceback."""
    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    before = set(threading.enumerate())

    async def open_a_directory() -> None:
        with pytest.raises(StorageUnavailable), map_errors():
            async with SqlitePool(lambda: sqlite3.connect(tmp_path), size=1).lend():
                pass

    for _ in range(20):
        asyncio.run(open_a_directory())
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert not raised


async def test_a_connection_whose_caller_gave_up_is_closed_once_it_is_open() -> None:
    opened: list[sqlite3.Connection] = []
    go_on = threading.Event()

    def open_slowly() -> sqlite3.Connection:
        go_on.wait(10)
        opened.append(sqlite3.connect(":memory:", check_same_thread=False))
        return opened[0]

    connecting = asyncio.create_task(SqliteConnection(open_slowly).open())
    await asyncio.sleep(0)
    connecting.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")
