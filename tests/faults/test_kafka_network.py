"""The network between a consumer and its brokers breaks: events come all the same, each once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random

import pytest

from tests.faults.experiment import Experiment
from tests.faults.kafka_run import on_stage
from tests.faults.place import Place
from tests.faults.proxy import Proxy
from tests.kafka.servers import Broker
from tests.kafka.topics import Kafka

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

LOGGED_AT_MOST = 100


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[Proxy]:
    """Stand where the broker tells those to come who come through a proxy."""
    proxy = Proxy(broker.behind, broker.before)
    await proxy.accept()
    yield proxy
    await proxy.close()


Fault = Callable[[Proxy, Random], Coroutine[None, None, None]]


async def responses_are_lost(proxy: Proxy, random: Random) -> None:
    proxy.lose_responses_to(lambda _: random.random() < 0.05)
    await asyncio.sleep(10)
    proxy.lose_no_responses()


async def connections_are_cut(proxy: Proxy, random: Random) -> None:
    for _ in range(10):
        proxy.cut()
        await asyncio.sleep(random.uniform(0, 1))


async def connections_are_half_closed(proxy: Proxy, random: Random) -> None:
    for _ in range(10):
        proxy.half_close()
        await asyncio.sleep(random.uniform(0, 1))


async def they_refuse_for_a_minute(proxy: Proxy, _: Random) -> None:
    proxy.refuse()
    await asyncio.sleep(60)
    await proxy.accept()


async def they_are_far_away(proxy: Proxy, _: Random) -> None:
    proxy.delay = 0.5
    await asyncio.sleep(10)
    proxy.delay = 0


async def packets_are_dropped(proxy: Proxy, _: Random) -> None:
    proxy.swallow()
    await asyncio.sleep(10)
    proxy.pass_on()


FAULTS = (
    responses_are_lost,
    connections_are_cut,
    connections_are_half_closed,
    they_refuse_for_a_minute,
    they_are_far_away,
    packets_are_dropped,
)


@pytest.mark.experiment(15, "brokers behind a proxy")
@pytest.mark.parametrize("server", ["postgres"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.replace("_", " "))
async def test_whatever_the_network_to_the_brokers_does_each_event_comes_once(
    experiment: Experiment, place: Place, kafka: Kafka, proxy: Proxy, fault: Fault
) -> None:
    brokers = f"127.0.0.1:{proxy.port}"
    async with on_stage(experiment, kafka, place, lambda: (0, 200), KAFKA_BROKERS=brokers) as run:
        (receiver,) = run.accounts.receivers
        await run.produce(100)
        await receiver.wait_for(100)
        before = len(run.stage.consumer.said().splitlines())
        breaking = asyncio.create_task(fault(proxy, experiment.random))
        await run.produce(400)
        await breaking
        healed = time.monotonic()
        await receiver.wait_for(500)
        logged = len(run.stage.consumer.said().splitlines()) - before
        experiment.tell(
            f"all delivered {time.monotonic() - healed:.1f} s after, {logged} lines in the log"
        )
        assert logged < LOGGED_AT_MOST
        await run.drain()
        assert run.requests == len(run.account.published)
