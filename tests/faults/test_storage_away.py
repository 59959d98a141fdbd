"""The storage goes away, refuses or is full: publishers are told so, and nothing is lost."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import require
from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History
from tests.faults.load import accounted, under_load
from tests.faults.place import DATABASE, FilePlace, ServerPlace, place_on
from tests.faults.stage import Api, Up, event_named, running
from tests.support.postgres_server import HOW_TO_GET_IT, OwnServer, find_programs, started
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

GRACE = 3.0  # for so long may the storage be unavailable before a worker loses what it has begun
BACK_WITHIN = 10.0
LOGGED_AT_MOST = 100
SETTINGS = {"WEBHOOKS_MAX_IN_FLIGHT": "512"}


@pytest.fixture
async def own_place() -> AsyncIterator[ServerPlace]:
    """Give a database of a server of the test's own, set up to keep what it commits."""
    programs = find_programs()
    require(programs, HOW_TO_GET_IT)
    assert programs
    with started(programs, fsync="on", full_page_writes="on") as server:
        async with place_on(server) as place:
            yield place


def logged(up: Up) -> int:
    return len(up.said().splitlines())


async def _is_logged(up: Up, event: str) -> bool:
    return event in up.said()  # it is written by a thread, after the response may have been sent


async def refuses(api: Api) -> bool:
    return await api.try_to_publish([event_named("unknown")]) == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.experiment(11, "PostgreSQL restarted at once under load, three times")
async def test_a_server_that_crashes_makes_publishes_fail_and_loses_nothing(
    experiment: Experiment, own_place: ServerPlace
) -> None:
    assert isinstance(own_place.postgres, OwnServer)
    server, kills = own_place.postgres, []
    async with (
        running(experiment.folder, own_place, **SETTINGS) as (up, api),
        under_load(api, experiment.random, 0.05) as load,
    ):
        for _ in range(3):
            await load.has_published(50)
            stopped = datetime.now(UTC)
            await asyncio.to_thread(server.stop, at_once=True)
            assert await refuses(api)
            await until("the log says why", lambda: _is_logged(up, "service_unavailable"))
            await asyncio.to_thread(server.start, fsync="on", full_page_writes="on")
            if (datetime.now(UTC) - stopped).total_seconds() > GRACE:
                kills.append(stopped)
            back = time.monotonic()
            await load.has_published(10)
            experiment.tell(f"publishing again {time.monotonic() - back:.1f} s after the start")
            assert not experiment.judged or time.monotonic() - back <= BACK_WITHIN
        load.producer.outcomes.setdefault("unknown", False)
        await load.ended(own_place)
        assert await up.terminate() == 0
        await up.start()
        history = load.history(await api.key(), Allowed(kills=kills))
    experiment.judge(history)


@pytest.mark.experiment(12, "PostgreSQL is a standby, read-only, until it is promoted")
async def test_a_server_that_is_read_only_makes_publishes_fail_and_is_found_again(
    experiment: Experiment, own_place: ServerPlace
) -> None:
    assert isinstance(own_place.postgres, OwnServer)
    server = own_place.postgres
    async with (
        running(experiment.folder, own_place, **SETTINGS) as (up, api),
        under_load(api, experiment.random, 0.05) as load,
    ):
        await load.has_published(50)
        before, stopped = logged(up), datetime.now(UTC)
        await asyncio.to_thread(server.stop, at_once=True)
        (server.folder / "data" / "standby.signal").touch()
        await asyncio.to_thread(server.start, fsync="on", full_page_writes="on")
        assert await refuses(api)
        await asyncio.sleep(2)
        assert await refuses(api)
        await server.execute("SELECT pg_promote()")
        back = time.monotonic()
        await load.has_published(10)
        took = time.monotonic() - back
        experiment.tell(f"publishing again {took:.1f} s after it was promoted")
        assert took <= BACK_WITHIN or not experiment.judged
        assert logged(up) - before <= LOGGED_AT_MOST
        load.producer.outcomes.setdefault("unknown", False)
        await load.ended(own_place)
        history = load.history(await api.key(), Allowed(kills=[stopped]))
    experiment.judge(history)


@pytest.mark.experiment(23, "the disk is full, then has space")
async def test_a_full_disk_makes_publishes_fail_and_loses_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    path = tmp_path / DATABASE
    path.parent.mkdir(parents=True)
    place, accounts, numbers = FilePlace(path), Accounts(), count()
    published: dict[str, bool] = {}

    async def is_taken(api: Api) -> bool:
        event_id = f"event-{next(numbers):05}"
        published[event_id] = False
        status = await api.try_to_publish([event_named(event_id)])
        assert status in {HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE}
        published[event_id] = status == HTTPStatus.ACCEPTED
        return published[event_id]

    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(accounts.receiver(lambda: (0, 200)))
        up, api = await stack.enter_async_context(running(experiment.folder, place, **SETTINGS))
        await api.subscribe(receiver.url)
        for _ in range(20):
            assert await is_taken(api)
        limit_files_of(up, largest(path) + 65_536)
        await until("the disk is full", lambda: is_refused(is_taken, api))
        for _ in range(20):
            await is_taken(api)
        limit_files_of(up, resource.RLIM_INFINITY)
        await until("there is room again", lambda: is_taken(api))
        await until("all is delivered", place.is_done, 60)
        history = History(
            accounted(api, published), accounts.seen(await api.key()), await place.stored()
        )
    experiment.judge(history)


def limit_files_of(up: Up, size: int) -> None:
    """Let a process write no file beyond a size: what a full disk is to it."""
    assert up.process
    resource.prlimit(up.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def largest(path: Path) -> int:
    """Return the size of the larger one of a database and its log."""
    return max(one.stat().st_size for one in (path, path.with_name(f"{path.name}-wal")))


async def is_refused(is_taken: Callable[[Api], Awaitable[bool]], api: Api) -> bool:
    return not await is_taken(api)
