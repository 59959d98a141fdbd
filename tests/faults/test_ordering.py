"""Deliveries of one ordering key come one after another, whoever is killed meanwhile."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import groupby
from random import Random

import aiohttp
import pytest
from attrs import evolve

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History, StoredDelivery
from tests.faults.load import accounted, kills_of
from tests.faults.place import place_on
from tests.faults.stage import Api, Up, api_of, event_named
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

PROCESSES, KEYS, EVENTS = 3, 12, 40
KILLS = 6

_SETTINGS = {
    "WEBHOOKS_MAX_IN_FLIGHT": "8",
    # The receiver fails at random: a delivery whose retries all fail would pause the webhook.
    "WEBHOOKS_BREAKER_FAILURES": "0",
}


@pytest.mark.experiment(38, "three workers deliver in order, and are killed at random")
async def test_deliveries_of_a_key_come_one_after_another_whoever_is_killed(
    experiment: Experiment, postgres: PostgresServer
) -> None:
    accounts, random = Accounts(), experiment.random
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(postgres))
        receiver = await stack.enter_async_context(
            accounts.receiver(
                lambda: (random.uniform(0, 0.03), 500 if random.random() < 1 / 6 else 200)
            )
        )
        processes = [
            Up(experiment.folder / f"{number}", _SETTINGS, place=place)
            for number in range(PROCESSES)
        ]
        for process in processes:
            stack.push_async_callback(process.close)
            await process.start()
        first, *others = [await stack.enter_async_context(api_of(one)) for one in processes]
        apis = [first, *(evolve(other, environment=first.environment) for other in others)]
        await first.subscribe(receiver.url, ordered=True)
        outcomes: dict[str, bool] = {}
        publishing = [
            asyncio.create_task(_publish_in_turn(apis, f"key-{number}", outcomes, random))
            for number in range(KEYS)
        ]
        stack.callback(lambda: [task.cancel() for task in publishing])
        for number in range(KILLS if experiment.judged else 2):
            await asyncio.sleep(random.uniform(0.2, 1.2))
            victim = processes[number % PROCESSES]
            await victim.kill()
            await victim.start()
        await asyncio.gather(*publishing)
        await until("all is delivered", place.is_done, 120)
        stored = await place.stored()
        allowed = Allowed(max_in_flight=8, kills=kills_of(*processes))
        history = History(
            accounted(first, outcomes), accounts.seen(await first.key()), stored, allowed
        )
    experiment.judge(history)
    assert len(stored.deliveries) == KEYS * EVENTS
    for key, line in groupby(sorted(stored.deliveries, key=_place), lambda one: one.ordering_key):
        assert [one.event_id for one in line] == _events(str(key)), "as they were published"


def _place(delivery: StoredDelivery) -> tuple[str, int]:
    return delivery.ordering_key or "", delivery.position


def _events(key: str) -> list[str]:
    return [f"{key}-{number:03}" for number in range(EVENTS)]


async def _publish_in_turn(
    apis: Sequence[Api], key: str, outcomes: dict[str, bool], random: Random
) -> None:
    """Publish the events of a key one after another, each to any process until it is in."""
    for event_id in _events(key):
        outcomes[event_id] = False
        while not outcomes[event_id]:
            try:
                api = random.choice(apis)
                status = await api.try_to_publish([event_named(event_id, key)])
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.02)
            else:
                outcomes[event_id] = status == 202
