"""Workers on PostgreSQL: their locks come and go with their sessions, and few words wake others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import open_postgres
from notification_adapters.sql.postgres.locks import lock_key
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import WorkerLockTaken
from notification_core.model.delivery import NewDelivery
from tests.adapters.sql_storages import event
from tests.support.postgres_server import CIPHER, PostgresServer
from tests.support.waiting import until

LEASE = timedelta(minutes=1)
_END = """
SELECT bool_or(pg_terminate_backend(pid)) FROM pg_locks
WHERE locktype = 'advisory' AND classid::bigint << 32 | objid::bigint = $1
"""


@frozen
class Place:
    """Two storages at one database, and how to do something to it from outside."""

    postgres: PostgresServer
    database: str
    one: SqlStorage
    other: SqlStorage

    async def cut_off(self, worker: UUID) -> None:
        """End the session that holds a worker's lock."""
        async with self.postgres.connected(self.database) as operator:
            assert await operator.fetchval(_END, lock_key(worker))

    async def begin(self, worker: UUID) -> None:
        """Store a delivery that this worker has claimed."""
        stored = event(str(uuid4()))
        delivery = NewDelivery(
            uuid4(), stored.event.environment_id, uuid4(), stored.event.event_id, claimed=True
        )
        async with self.one.deliveries.ingesting() as transaction:
            await transaction.add_events([stored])
            await transaction.add_deliveries([delivery], worker, LEASE)


@pytest.fixture
async def place(postgres: PostgresServer) -> AsyncIterator[Place]:
    """Open two storages at one database."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(postgres.database())
        one, other = [
            await stack.enter_async_context(
                open_postgres(postgres.server(database), CIPHER, clock, IdGenerator(clock))
            )
            for _ in range(2)
        ]
        yield Place(postgres, database, one, other)


async def test_a_lock_dies_with_its_session_and_can_be_taken_again(place: Place) -> None:
    worker = uuid4()
    lock = place.one.worker_lock
    await lock.acquire(worker)
    losing = asyncio.create_task(lock.lost())
    await asyncio.sleep(0)
    assert not losing.done()
    await place.cut_off(worker)
    async with asyncio.timeout(5):
        await losing
    await lock.acquire(worker)
    with pytest.raises(WorkerLockTaken):
        await place.other.worker_lock.acquire(worker)


async def test_a_worker_is_dead_once_its_lock_was_missing_for_two_seconds(place: Place) -> None:
    dead, alive = uuid4(), uuid4()
    await place.one.worker_lock.acquire(dead)
    await place.other.worker_lock.acquire(alive)
    await place.begin(dead)
    assert set(await place.other.worker_lock.dead()) == set()
    await place.one.worker_lock.release()
    began = asyncio.get_running_loop().time()
    await until("it is taken for dead", place.other.worker_lock.dead)
    assert asyncio.get_running_loop().time() - began >= 2
    assert set(await place.other.worker_lock.dead()) == {dead}
    assert (await place.other.deliveries.reap([dead], LEASE)).count == 1


async def test_who_has_its_lock_again_is_not_robbed_by_those_who_had_given_it_up(
    place: Place,
) -> None:
    worker = uuid4()
    await place.begin(worker)
    await place.one.worker_lock.acquire(worker)
    assert (await place.other.deliveries.reap([worker], LEASE)).count == 0
    await place.one.worker_lock.release()
    assert (await place.other.deliveries.reap([worker], LEASE)).count == 1


async def test_a_lock_that_a_lost_session_still_holds_is_taken_from_it(place: Place) -> None:
    worker = uuid4()
    lock = place.one.worker_lock
    await lock.acquire(worker)
    ours = lock._session._connection  # type: ignore[attr-defined]  # noqa: SLF001 - a partition, as we see it
    lock._session.gone.set()  # type: ignore[attr-defined]  # noqa: SLF001 - the same
    lock._session._connection = None  # type: ignore[attr-defined]  # noqa: SLF001 - the same
    with pytest.raises(WorkerLockTaken):
        await lock.acquire(worker)
    await until("the lock is ours again", lambda: _takes(place.one, worker))
    await until("the former session is at its end", lambda: asyncio.to_thread(ours.is_closed))


async def test_thousands_of_commits_are_told_in_few_words(place: Place) -> None:
    await place.other.worker_lock.acquire(uuid4())
    heard: list[float] = []

    async def listen() -> None:
        while True:
            await place.other.notifier.wait()
            heard.append(asyncio.get_running_loop().time())

    async def anything() -> bool:
        return bool(heard)

    listening = asyncio.create_task(listen())
    began = asyncio.get_running_loop().time()
    for _ in range(50):
        for _ in range(100):
            place.one.notifier.wake()
        await asyncio.sleep(0.005)
    await until("something is heard", anything)
    listening.cancel()
    seconds = asyncio.get_running_loop().time() - began
    # A busy server tells once in 50 ms; of one that was held up a few words may follow sooner.
    assert len(heard) <= 3 + seconds / 0.03


async def _takes(storage: SqlStorage, worker: UUID) -> bool:
    try:
        await storage.worker_lock.acquire(worker)
    except WorkerLockTaken:
        return False
    return True
