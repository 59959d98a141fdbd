"""PostgreSQL over a network that loses what was said: who wrote learns what is not known."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import pytest
from attrs import evolve, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import locks, open_postgres, pool
from notification_adapters.sql.postgres.driver import fetch
from notification_adapters.sql.postgres.locks import lock_key
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import StorageUnavailable, UnknownCommit, WorkerLockTaken
from notification_core.model.event import Arrival
from tests.adapters.sql_storages import event, ingest
from tests.faults.proxy import Proxy, proxy_before
from tests.support.postgres_server import CIPHER, PostgresServer
from tests.support.waiting import until

IDLE = 8


@frozen
class Reached:
    """A storage that is reached through a proxy, and the same past it."""

    storage: SqlStorage
    past_it: SqlStorage
    proxy: Proxy

    async def is_held(self, worker: UUID) -> bool:
        """Tell whether a worker's lock is held, as the server sees it."""
        async with self.past_it.database.read_transaction() as connection:
            held = await fetch(
                connection,
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
                "AND classid::bigint << 32 | objid::bigint = $1",
                lock_key(worker),
            )
        return bool(held)

    async def fill_the_pool(self) -> None:
        """Leave several connections idle."""
        async with AsyncExitStack() as stack:
            for _ in range(IDLE):
                await stack.enter_async_context(self.storage.database.read_transaction())


@pytest.fixture
async def reached(postgres: PostgresServer) -> AsyncIterator[Reached]:
    """Open an empty database through a proxy."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        server = postgres.server(await stack.enter_async_context(postgres.database()))
        parts = urlsplit(server.uri)
        assert parts.port
        proxy = await stack.enter_async_context(proxy_before(parts.port))
        netloc = parts.netloc.replace(f":{parts.port}", f":{proxy.port}")
        behind = evolve(server, uri=urlunsplit(parts._replace(netloc=netloc)))
        storage, past_it = [
            await stack.enter_async_context(open_postgres(one, CIPHER, clock, IdGenerator(clock)))
            for one in (behind, server)
        ]
        yield Reached(storage, past_it, proxy)


async def test_a_commit_whose_response_is_lost_is_unknown_and_found_when_it_is_retried(
    reached: Reached,
) -> None:
    reached.proxy.lose_responses_to(lambda said: b"COMMIT\0" in said)
    with pytest.raises(UnknownCommit):
        await ingest(reached.storage, event("e-1"))
    reached.proxy.lose_no_responses()
    assert await ingest(reached.storage, event("e-1")) == [Arrival.DUPLICATE]


async def test_of_connections_that_hang_one_is_waited_for_and_all_are_given_up(
    reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_BEGIN_SECONDS", 0.5)
    await reached.fill_the_pool()
    reached.proxy.swallow()
    reached.proxy.pass_on()
    before = reached.proxy.came
    assert await reached.storage.webhooks.webhooks_revision() == 0
    # A new one, and beside it the driver's own, which tells the server to give up what hung.
    assert reached.proxy.came - before <= 2


async def test_connections_that_end_for_one_side_are_reopened(reached: Reached) -> None:
    await reached.fill_the_pool()
    reached.proxy.half_close()
    assert await reached.storage.webhooks.webhooks_revision() == 0


async def test_what_is_refused_and_accepted_again_is_found_again(reached: Reached) -> None:
    await reached.fill_the_pool()
    reached.proxy.refuse()
    with pytest.raises(StorageUnavailable):
        await reached.storage.webhooks.webhooks_revision()
    await reached.proxy.accept()
    assert await asyncio.gather(
        *(reached.storage.webhooks.webhooks_revision() for _ in range(IDLE))
    ) == ([0] * IDLE)


@pytest.mark.parametrize("same", [True, False], ids=["under its name", "under another name"])
async def test_a_worker_that_goes_on_ends_the_session_that_was_lost_on_the_way(
    reached: Reached,
    monkeypatch: pytest.MonkeyPatch,
    same: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    monkeypatch.setattr(locks, "_BEAT_SECONDS", 0.05)
    lock, former = reached.storage.worker_lock, uuid4()
    await lock.acquire(former)
    reached.proxy.swallow()
    await lock.lost()
    reached.proxy.pass_on()
    assert await reached.is_held(former), "the server has heard of nothing"

    async def goes_on() -> bool:
        try:
            await lock.acquire(former if same else uuid4())
        except (WorkerLockTaken, StorageUnavailable):
            return False
        return True

    await until("it holds a lock again", goes_on)

    async def is_as_it_should_be() -> bool:
        return await reached.is_held(former) is same

    await until("the former lock is held by who lives, or by nobody", is_as_it_should_be)


async def test_asking_whether_the_server_lives_is_in_nobodys_way_however_far_away_it_is(
    reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_BEAT_SECONDS", 0.005)
    reached.proxy.delay = 0.02
    lock = reached.storage.worker_lock
    await lock.acquire(uuid4())
    losing = asyncio.create_task(lock.lost())
    for _ in range(10):
        await lock.acquire(uuid4())
    assert not losing.done()
    losing.cancel()
