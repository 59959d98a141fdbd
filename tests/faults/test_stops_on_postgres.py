"""How processes on PostgreSQL end when they are told to: nothing is cut off, nothing kept."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History
from tests.faults.place import Place, place_on
from tests.faults.producer import producing
from tests.faults.rules import interruptions
from tests.faults.stage import Up, served_by
from tests.support.postgres_server import PostgresServer
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.waiting import until

TWO = ("--workers", "2")
SOON = timedelta(seconds=1)  # a worker learns of it from its supervisor


def serving(folder: Path, place: Place, command: str, *options: str, **settings: str) -> Up:
    ours = {**place.settings, "PROJECT_MANAGEMENT_API_URI": "", **settings}
    return Up(folder, ours, command=command, options=options)


def stopped_at(up: Up) -> Sequence[datetime]:
    """Return when the processes said that they were told to stop."""
    lines = [json.loads(line) for line in up.said().splitlines() if line.startswith("{")]
    told = [line["timestamp"] for line in lines if line["event"] == "stopping"]
    return [datetime.fromisoformat(at) for at in told]


@pytest.mark.experiment(9, "two workers stopped by SIGTERM under load")
async def test_a_stop_of_two_workers_under_load_cuts_nothing_off(
    experiment: Experiment, postgres: PostgresServer
) -> None:
    accounts = Accounts()
    slowly = accounts.receiver(lambda: (experiment.random.uniform(0.05, 0.3), 200))
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(postgres))
        up = serving(experiment.folder, place, "up", *TWO, WEBHOOKS_MAX_IN_FLIGHT="512")
        api = await stack.enter_async_context(served_by(up))
        await stack.enter_async_context(slowly)
        await api.subscribe(slowly.url)
        key = await api.key()
        async with producing(api, experiment.random) as producer:
            await slowly.wait_for(100)
            assert await up.terminate(within=15) == 0
            producer.give_up()
        stopped = await place.stored()
        assert interruptions(stopped.attempts) == 0
        assert not any(one.held for one in stopped.deliveries)
        last = max(one.started_at for one in stopped.attempts)
        assert last <= max(stopped_at(up)) + SOON, "nothing is begun once it is told"
        assert "background_task_failed" not in up.said()
        await up.start()
        await until("the rest is delivered", place.is_done)
        history = History(producer.published(), accounts.seen(key), await place.stored(), Allowed())
    experiment.judge(history)


@pytest.mark.experiment(9, "what waits is given back at once")
@pytest.mark.parametrize(
    "options",
    [pytest.param((), id="one"), pytest.param(TWO, marks=pytest.mark.long, id="two workers")],
)
async def test_while_requests_end_it_is_not_ready_and_what_waits_is_free_for_others(
    postgres: PostgresServer, tmp_path: Path, options: Sequence[str]
) -> None:
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(postgres))
        up = serving(tmp_path, place, "up", *options, WEBHOOKS_MAX_IN_FLIGHT="4")
        receiver = await stack.enter_async_context(Receiver("hang"))
        api = await stack.enter_async_context(served_by(up))
        await api.subscribe(receiver.url)
        await api.publish(*(f"event-{number}" for number in range(50)))
        await receiver.wait_for(2)  # half of 4: it has not answered yet
        assert up.process
        up.process.terminate()
        await until("it says that it stops", lambda: _responds_while_stopping(up))
        await until("what waits is given back", lambda: _are_held(place, receiver))
        receiver.respond(200)
        receiver.release()
        assert await up.ended(within=15) == 0
        stored = await place.stored()
        assert {one.outcome for one in stored.attempts} == {"succeeded"}
        assert len(stored.attempts) == len(receiver.requests) <= 4


async def _responds_while_stopping(up: Up) -> bool:
    url = f"http://{LOOPBACK}:{up.ports[1]}/readyz"
    async with aiohttp.request("GET", url) as response:
        told: Mapping[str, object] = await response.json()
        return response.status == HTTPStatus.SERVICE_UNAVAILABLE and told["status"] == "stopping"


async def _are_held(place: Place, receiver: Receiver) -> bool:
    held = await place.count("SELECT count(*) FROM deliveries WHERE worker IS NOT NULL")
    return held == receiver.in_flight


@pytest.mark.long
@pytest.mark.experiment(9, "a receiver that takes long does not hold a stop up")
async def test_a_receiver_that_may_take_long_does_not_hold_it_up_for_longer_than_a_stop_may_take(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(postgres))
        up = serving(tmp_path, place, "up", *TWO, WEBHOOKS_WRITE_TIMEOUT="60s")
        receiver = await stack.enter_async_context(Receiver("hang"))
        api = await stack.enter_async_context(served_by(up))
        webhook_id = await api.subscribe(receiver.url)
        await api.publish("event")
        trying = asyncio.create_task(api.call("POST", f"webhooks/{webhook_id}/test", {}))
        await receiver.wait_for(2)
        assert await up.terminate(within=15) == 0
        await asyncio.gather(trying, return_exceptions=True)
