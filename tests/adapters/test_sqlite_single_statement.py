"""What goes to SQLite's thread in one trip, under trouble: all of it is stored, or nothing."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.sqlite.database import SqliteDatabase
from notification_core.errors import StorageUnavailable, UnknownCommit
from notification_core.model.delivery import NewDelivery
from notification_core.model.event import Arrival, EventToStore
from notification_core.ports.deliveries import IngestPlan
from tests.adapters.sql_storages import ENVIRONMENT_ID, database, event, opened
from tests.adapters.sqlite_connections import pragma
from tests.support.sqlite_template import make_sqlite

Work = Callable[[sqlite3.Connection], object]


@pytest.fixture
def storage(sqlite_storage: SqlStorage) -> SqlStorage:
    return sqlite_storage


async def _store(storage: SqlStorage, *events: EventToStore) -> list[Arrival] | None:
    """Store events with a delivery each."""
    deliveries = [
        NewDelivery(uuid4(), ENVIRONMENT_ID, UUID(int=1), one.event.event_id) for one in events
    ]
    arrivals = await storage.deliveries.store(IngestPlan(0, events, deliveries, None, timedelta()))
    return None if arrivals is None else list(arrivals.values())


def _stored(folder: Path) -> tuple[int, int]:
    """Return how many events and deliveries there are."""
    counts = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM deliveries)"
    with closing(sqlite3.connect(database(folder))) as connection:
        events, deliveries = connection.execute(counts).fetchone()
    return events, deliveries


async def test_while_another_process_writes_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "notification_adapters.sql.sqlite.database.BUSY_TIMEOUT", timedelta(milliseconds=50)
    )
    await make_sqlite(database(tmp_path))
    async with opened(tmp_path) as storage:
        with closing(sqlite3.connect(database(tmp_path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                with pytest.raises(StorageUnavailable, match="busy") as caught:
                    await _store(storage, event("e-1"))
                assert not isinstance(caught.value, UnknownCommit)
        assert await _store(storage, event("e-1")) == [Arrival.NEW]


async def test_a_full_disk_stores_nothing_of_a_batch(tmp_path: Path) -> None:
    await make_sqlite(database(tmp_path))
    with pragma("max_page_count = 60"):
        async with opened(tmp_path) as storage:
            large = [event(f"e-{number}", b'"%s"' % (b"x" * 50_000)) for number in range(9)]
            with pytest.raises(StorageUnavailable, match="full") as caught:
                await _store(storage, *large)
            assert not isinstance(caught.value, UnknownCommit)
            assert _stored(tmp_path) == (0, 0)
            assert await _store(storage, event("small")) == [Arrival.NEW]


@pytest.mark.parametrize("turns", range(0, 20, 4))
async def test_whenever_it_is_cancelled_all_is_stored_or_nothing(
    storage: SqlStorage, tmp_path: Path, turns: int
) -> None:
    storing = asyncio.create_task(_store(storage, *[event(f"e-{n}") for n in range(100)]))
    for _ in range(turns):
        await asyncio.sleep(0.0001)  # each turn is another moment
    storing.cancel()
    with suppress(asyncio.CancelledError):
        await storing
    assert await _store(storage, event("another")) == [Arrival.NEW]
    assert _stored(tmp_path) in {(1, 1), (101, 101)}
    assert storage.database.open_transactions == 0


def _a_mistake_of_ours(raw: sqlite3.Connection) -> None:
    raw.execute("UPDATE webhooks_revision SET revision = 9")
    raise OverflowError


def _a_statement_that_is_none(raw: sqlite3.Connection) -> None:
    raw.execute("UPDATE webhooks_revision SET revision = 9")
    raw.execute("SELEC")


def _a_commit_that_fails(raw: sqlite3.Connection) -> None:
    raw.execute("UPDATE webhooks_revision SET revision = 9")
    raw.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
    raw.execute("CREATE TABLE children (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    raw.execute("INSERT INTO children VALUES (1)")


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (_a_mistake_of_ours, OverflowError),
        (_a_statement_that_is_none, sqlite3.OperationalError),
        (_a_commit_that_fails, sqlite3.IntegrityError),
    ],
)
async def test_whatever_fails_nothing_is_left_of_it(
    storage: SqlStorage, work: Work, error: type[Exception]
) -> None:
    assert isinstance(storage.database, SqliteDatabase)
    for _ in range(2):
        with pytest.raises(error):
            await storage.database.writer.transact(work)
        assert await storage.webhooks.webhooks_revision() == 0
    assert await _store(storage, event("e-1")) == [Arrival.NEW]


async def test_of_two_processes_one_stores_an_event(storage: SqlStorage, tmp_path: Path) -> None:
    async with opened(tmp_path) as rival:
        events = [event(f"e-{number}") for number in range(20)]
        storing = [_store(one, each) for each in events for one in (storage, rival)]
        arrivals = [arrival for told in await asyncio.gather(*storing) for arrival in told or ()]
    assert sorted(arrivals) == [Arrival.DUPLICATE] * 20 + [Arrival.NEW] * 20
    assert _stored(tmp_path) == (20, 20)
