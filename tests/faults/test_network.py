"""The network between the processes and PostgreSQL breaks: in every way, and nothing is lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from random import Random
from urllib.parse import urlsplit, urlunsplit

import pytest
from attrs import frozen

from tests.faults.experiment import Experiment
from tests.faults.history import Allowed
from tests.faults.load import under_load
from tests.faults.place import ServerPlace, place_on
from tests.faults.proxy import Proxy, proxy_before
from tests.faults.stage import running
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

BACK_WITHIN = 10.0
LOGGED_AT_MOST = 100
SETTINGS = {"WEBHOOKS_MAX_IN_FLIGHT": "512"}


@frozen
class PlaceBehind(ServerPlace):
    """A database that processes reach through a proxy; who looks into it goes past that."""

    proxy: Proxy

    @property
    def settings(self) -> Mapping[str, str]:
        """Name the proxy instead of the server."""
        settings = super().settings
        parts = urlsplit(settings["DB_URI"])
        netloc = parts.netloc.replace(f":{parts.port}", f":{self.proxy.port}")
        return {**settings, "DB_URI": urlunsplit(parts._replace(netloc=netloc))}


@pytest.fixture
async def place(postgres: PostgresServer) -> AsyncIterator[PlaceBehind]:
    """Give an empty database behind a proxy."""
    async with place_on(postgres) as place:
        port = urlsplit(postgres.uri).port
        assert port
        async with proxy_before(port) as proxy:
            yield PlaceBehind(postgres, place.database, proxy)


Fault = Callable[[Proxy, Random], Coroutine[None, None, None]]


async def responses_to_commits_are_lost(proxy: Proxy, random: Random) -> None:
    proxy.lose_responses_to(lambda said: b"COMMIT\0" in said and random.random() < 0.3)
    await has_lost(proxy, 20)


async def any_responses_are_lost(proxy: Proxy, random: Random) -> None:
    proxy.lose_responses_to(lambda _: random.random() < 0.1)
    await has_lost(proxy, 20)


async def has_lost(proxy: Proxy, responses: int) -> None:
    async def holds() -> bool:
        return proxy.lost >= responses

    await until(f"{responses} answers are lost", holds)
    proxy.lose_no_responses()


async def connections_are_cut(proxy: Proxy, random: Random) -> None:
    for _ in range(10):
        proxy.cut()
        await asyncio.sleep(random.uniform(0, 0.5))


async def connections_are_half_closed(proxy: Proxy, random: Random) -> None:
    for _ in range(10):
        proxy.half_close()
        await asyncio.sleep(random.uniform(0, 0.5))


async def it_refuses_for_a_minute(proxy: Proxy, _: Random) -> None:
    proxy.refuse()
    await asyncio.sleep(60)
    await proxy.accept()


async def it_is_far_away(proxy: Proxy, _: Random) -> None:
    proxy.delay = 0.6
    await asyncio.sleep(6)
    proxy.delay = 0


async def it_trickles(proxy: Proxy, _: Random) -> None:
    proxy.rate = 20_000
    await asyncio.sleep(6)
    proxy.rate = None


async def packets_are_dropped(proxy: Proxy, _: Random) -> None:
    proxy.swallow()
    await asyncio.sleep(6)
    proxy.pass_on()


FAULTS = (
    responses_to_commits_are_lost,
    any_responses_are_lost,
    connections_are_cut,
    connections_are_half_closed,
    it_refuses_for_a_minute,
    it_is_far_away,
    it_trickles,
    packets_are_dropped,
)


@pytest.mark.experiment(11, "PostgreSQL behind a proxy")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.replace("_", " "))
async def test_whatever_the_network_does_nothing_is_lost(
    experiment: Experiment, place: PlaceBehind, fault: Fault
) -> None:
    async with (
        running(experiment.folder, place, **SETTINGS) as (up, api),
        under_load(api, experiment.random, 0.05) as load,
    ):
        await load.has_published(50)
        before, broken_at = len(up.said().splitlines()), datetime.now(UTC)
        await fault(place.proxy, experiment.random)
        healed_at, back = datetime.now(UTC), time.monotonic()
        await load.has_published(10)
        took = time.monotonic() - back
        await load.ended(place)
        whole = time.monotonic() - back
        logged = len(up.said().splitlines()) - before
        experiment.tell(
            f"publishing again after {took:.1f} s, all delivered after {whole:.1f} s, "
            f"{logged} lines in the log"
        )
        assert logged < LOGGED_AT_MOST
        history = load.history(await api.key(), Allowed(kills=[broken_at, healed_at]))
        assert await up.terminate(30) == 0
    experiment.judge(history)
    assert took <= BACK_WITHIN or not experiment.judged
