"""The whole of it on PostgreSQL: several processes at one database, killed and started again."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.conftest import require
from tests.faults.place import IN_FLIGHT, ServerPlace
from tests.faults.stage import Api, event_named, running
from tests.support.postgres_server import HOW_TO_GET_IT, find_programs, started
from tests.support.receivers import Receiver
from tests.support.waiting import until

_UNLOGGED = """
SELECT count(*) FROM deliveries AS d
WHERE attempt <> (SELECT count(*) FROM attempts AS a WHERE a.delivery_id = d.delivery_id)
"""


async def test_up_serves_a_database_server_and_shows_no_password(
    place: ServerPlace, tmp_path: Path
) -> None:
    uri = place.settings["DB_URI"].replace("postgres@", "postgres:hunter2@")
    async with running(tmp_path, **{**place.settings, "DB_URI": uri}) as (up, api):
        async with Receiver(500, 200) as receiver:
            await api.subscribe(receiver.url)
            await api.publish("one")
            await receiver.wait_for(2)
            await until("all is done", place.is_done)
        assert await up.terminate() == 0
    assert '"storage": "postgresql://127.0.0.1' in up.said()
    assert "hunter2" not in up.said()
    assert not (tmp_path / "data").exists(), "nothing is kept in files"


async def test_two_processes_share_the_work_and_one_that_is_killed_leaves_it_to_the_other(
    place: ServerPlace, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        one, api = await stack.enter_async_context(running(tmp_path / "1", **place.settings))
        other, beside = await stack.enter_async_context(running(tmp_path / "2", **place.settings))
        beside = Api(beside.session, beside.base, api.environment)
        receiver = await stack.enter_async_context(Receiver(_slowly))
        await api.subscribe(receiver.url)
        await asyncio.gather(
            api.publish(*(f"a{number}" for number in range(300))),
            beside.publish(*(f"b{number}" for number in range(300))),
        )
        await receiver.wait_for(100)
        await one.kill()
        killed = asyncio.get_running_loop().time()
        await until("the other has done it all", place.is_done)
        assert asyncio.get_running_loop().time() - killed < 25, "it is not left to its lease"
        assert await other.terminate() == 0
    events = Counter(request.headers["webhook-id"] for request in receiver.requests)
    assert len(events) == 600, "nothing is lost"
    assert await place.count(_UNLOGGED) == 0
    assert events.total() - len(events) <= IN_FLIGHT, "only what was in flight comes twice"


async def _slowly(_: object) -> int:
    await asyncio.sleep(0.05)
    return 200


@pytest.mark.experiment(11, "PostgreSQL restarted at once")
async def test_a_restart_of_the_server_loses_nothing_and_interrupts_no_living_worker(
    tmp_path: Path,
) -> None:
    programs = find_programs()
    require(programs, HOW_TO_GET_IT)
    assert programs
    with started(programs) as server:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(server.database(empty=True))
            place = ServerPlace(server, database)
            settings = {**place.settings, "WEBHOOKS_MAX_IN_FLIGHT": "512"}
            up, api = await stack.enter_async_context(running(tmp_path, **settings))
            receiver = await stack.enter_async_context(Receiver(_slowly))
            await api.subscribe(receiver.url)
            await api.publish(*(f"a{number}" for number in range(500)))
            await receiver.wait_for(50)
            await asyncio.to_thread(server.stop, at_once=True)
            refused = await api.try_to_publish([event_named("while it is unavailable")])
            await asyncio.to_thread(server.start)
            await until("it takes events again", lambda: _is_taken(api), 30)
            await until("all is done", place.is_done)
            assert await up.terminate() == 0
            assert refused == HTTPStatus.SERVICE_UNAVAILABLE
            events = Counter(request.headers["webhook-id"] for request in receiver.requests)
            assert len(events) == 501, "nothing is lost"
            assert events.total() == 501, "and nothing comes twice"
            assert await place.count(_UNLOGGED) == 0


async def _is_taken(api: Api) -> bool:
    return await api.try_to_publish([event_named("afterwards")]) == HTTPStatus.ACCEPTED
