"""A receiver that is down for long, and three processes: one probe at a time, and nothing lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import frozen

from tests.faults.place import Place, place_on
from tests.faults.stage import Api, Up, api_of
from tests.support.postgres_server import PostgresServer
from tests.support.receivers import ReceivedRequest, Receiver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(900)

PROCESSES = 3
SETTINGS = {"WEBHOOKS_BREAKER_PAUSE": "2s", "WEBHOOKS_BREAKER_MAX_PAUSE": "5s"}
"""A fifth of the defaults, so that some minutes are enough."""
NOTICED = timedelta(seconds=2)
"""By then each process has heard of what another one has stored: two polls."""


@frozen
class Stage:
    """Some processes on one database, and a client of the first one's API."""

    place: Place
    processes: Sequence[Up]
    api: Api

    async def health(self, webhook_id: str) -> dict[str, object]:
        webhook = await self.api.call("GET", f"webhooks/{webhook_id}")
        health = webhook["health"]
        assert isinstance(health, dict)
        return health

    async def is_paused(self, webhook_id: str) -> bool:
        return (await self.health(webhook_id))["state"] == "paused"


@asynccontextmanager
async def processes(folder: Path, server: PostgresServer, **settings: str) -> AsyncIterator[Stage]:
    """Run three processes on one database."""
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(server))
        all_ = [Up(folder / f"{n}", SETTINGS | settings, place=place) for n in range(PROCESSES)]
        for process in all_:
            stack.push_async_callback(process.close)
            await process.start()
        yield Stage(place, all_, await stack.enter_async_context(api_of(all_[0])))


class Outage:
    """A receiver that returns 503 for as long as it is down, and notes how many come at once."""

    def __init__(self) -> None:
        self.is_down = True
        self.most_together: list[tuple[int, int]] = []
        self._in_flight = self._answered = 0

    async def respond(self, _: ReceivedRequest) -> int:
        self._in_flight += 1
        was_down = self.is_down
        if not was_down:
            self.most_together.append((self._in_flight, self._answered))
        await asyncio.sleep(0.3 if was_down else 0.02)
        self._in_flight -= 1
        self._answered += not was_down
        return 503 if was_down else 200


async def seconds_to_arrive(receiver: Receiver, event_id: str, began: datetime) -> float:
    await receiver.wait_until(lambda all_: any(_event(one) == event_id for one in all_))
    (arrived,) = (one for one in receiver.requests if _event(one) == event_id)
    return (arrived.received_at - began).total_seconds()


def _event(request: ReceivedRequest) -> str:
    return request.headers["webhook-id"].removeprefix("msg_")


@pytest.mark.long
@pytest.mark.experiment(37, "a receiver is down for long, with three processes")
async def test_everything_arrives_once_after_a_long_outage(
    tmp_path: Path,
    postgres: PostgresServer,
    tell: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    seconds = 600 if request.config.getoption("--long") else 20
    outage = Outage()
    async with (
        Receiver(outage.respond) as down,
        Receiver() as well,
        processes(tmp_path, postgres) as stage,
    ):
        webhook_id = await stage.api.subscribe(down.url)
        await stage.api.subscribe(well.url)
        events = [f"event-{number:04}" for number in range(seconds)]
        delays = []
        for event_id in events:
            began = datetime.now().astimezone()
            await stage.api.publish(event_id)
            delays.append(await seconds_to_arrive(well, event_id, began))
            await asyncio.sleep(max(0.0, 1 - delays[-1]))
        health = await stage.health(webhook_id)
        assert health["state"] == "paused"
        in_outage = [*down.requests]
        outage.is_down = False
        await until("all has arrived and is written", stage.place.is_done, 60)
        assert (await stage.health(webhook_id))["state"] == "healthy"
        stored = await stage.place.stored()
    of_it = [one for one in stored.deliveries if one.webhook_id == webhook_id]
    assert {one.state for one in of_it} == {"succeeded"}
    arrived = Counter(map(_event, down.requests[len(in_outage) :]))
    assert arrived.keys() == set(events)
    paused_at = datetime.fromisoformat(str(health["since"]))
    its = {one.delivery_id for one in of_it}
    probes = sorted(
        (
            one
            for one in stored.attempts
            if one.delivery_id in its
            and one.outcome == "failed"
            and one.started_at > paused_at + NOTICED
        ),
        key=lambda one: one.started_at,
    )
    for one, following in pairwise(probes):
        assert following.started_at >= one.started_at + (one.duration or timedelta())
    tell(
        f"{len(events)} events in {seconds} s of outage: {len(in_outage)} requests, {len(probes)} "
        f"of them probes; another webhook got its events within {max(delays) * 1e3:.0f} ms"
    )
    assert len(probes) <= seconds / 2 + 1, "one probe each pause"
    assert max(delays) < 1
    for together, answered in outage.most_together:
        assert together <= PROCESSES * 2**answered, (
            "each begins with one, and grows to at most twice as many"
        )


@pytest.mark.long
@pytest.mark.experiment(37, "a receiver fails half of its requests")
async def test_a_receiver_that_fails_half_of_its_requests_is_not_paused(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    came = 0

    def respond(_: ReceivedRequest) -> int:
        nonlocal came
        came += 1
        return 500 if came % 2 else 200

    retries = {"WEBHOOKS_RETRY_INTERVAL": "100ms", "WEBHOOKS_MAX_RETRIES": "20"}
    async with Receiver(respond) as receiver, processes(tmp_path, postgres, **retries) as stage:
        webhook_id = await stage.api.subscribe(receiver.url)
        for number in range(100):
            await stage.api.publish(f"event-{number}")
        await until("all is done", stage.place.is_done, 60)
        stored = await stage.place.stored()
        metrics = [
            await one.metric("notification_circuit_breaker_changes_total")
            for one in stage.processes
        ]
        assert (await stage.health(webhook_id))["state"] != "paused"
    assert {one.state for one in stored.deliveries} == {"succeeded"}
    assert sum(metrics) == 0


@pytest.mark.experiment(37, "a receiver always rejects one event")
async def test_an_event_that_is_always_rejected_does_not_block_its_webhook(
    tmp_path: Path, postgres: PostgresServer, tell: Callable[[str], None]
) -> None:
    def respond(request: ReceivedRequest) -> int:
        return {"bad": 500, "wrong": 400}.get(_event(request), 200)

    retries = {"WEBHOOKS_RETRY_INTERVAL": "100ms"}
    async with Receiver(respond) as receiver, processes(tmp_path, postgres, **retries) as stage:
        webhook_id = await stage.api.subscribe(receiver.url)
        await stage.api.publish("bad", "wrong")
        await until("it is paused", lambda: stage.is_paused(webhook_id))
        delays = []
        for number in range(20):
            began = datetime.now().astimezone()
            await stage.api.publish(f"good-{number}")
            delays.append(await seconds_to_arrive(receiver, f"good-{number}", began))
        await until("all is done", stage.place.is_done, 60)
        stored = await stage.place.stored()
    states = {one.event_id: one.state for one in stored.deliveries}
    assert states.pop("bad") == states.pop("wrong") == "failed"
    assert set(states.values()) == {"succeeded"}
    tell(f"good events arrived within {max(delays) * 1e3:.0f} ms")
    assert max(delays) < 2.5, "a pause, where two probes follow one another"


@pytest.mark.experiment(37, "the process that probes is killed")
async def test_another_process_probes_if_the_one_that_does_is_killed(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with Receiver(503) as receiver, processes(tmp_path, postgres) as stage:
        webhook_id = await stage.api.subscribe(receiver.url)
        await stage.api.publish(*(f"event-{number}" for number in range(20)))
        await until("it is paused", lambda: stage.is_paused(webhook_id))
        await asyncio.sleep(NOTICED.total_seconds())
        before = len(receiver.requests)
        receiver.respond("hang")
        await receiver.wait_for(before + 1)
        flying = [await one.metric("notification_attempts_in_flight") for one in stage.processes]
        assert sum(flying) == 1
        killed = flying.index(1)
        await stage.processes[killed].kill()
        receiver.release()
        left = stage.processes[killed - 1]
        other = Api(
            stage.api.session, f"http://127.0.0.1:{left.ports[0]}/api", stage.api.environment
        )
        await until("all is done", stage.place.is_done, 60)
        webhook = await other.call("GET", f"webhooks/{webhook_id}")
        assert webhook["health"] == {"state": "healthy", "consecutive_failures": 0}
        stored = await stage.place.stored()
    assert {one.state for one in stored.deliveries} == {"succeeded"}
