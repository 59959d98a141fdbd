"""A dead webhook with a million pending deliveries beside a live one, which does not feel it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles

import pytest
from attrs import frozen

from tests.faults.place import Place
from tests.faults.stage import Api, running
from tests.support.receivers import ReceivedRequest, Receiver

MILLION = 1_000_000
EVENTS = 150
FAILING_FIRST = 5
INTERVAL = 0.2
SETTINGS = {
    "WEBHOOKS_BREAKER_FAILURES": "0",
    "WEBHOOKS_RETRY_INTERVAL": f"{INTERVAL * 1000:.0f}ms",
    "WEBHOOKS_WRITE_TIMEOUT": "2s",
    # As many as by default: of the few of some places one webhook's first requests would be half.
    "WEBHOOKS_MAX_IN_FLIGHT": "512",
}
MADE = {
    "attempt": "0",
    "failures": "0",
    "interruptions": "0",
    "worker": "NULL",
    "leased_until": "NULL",
    "started_at": "NULL",
}
"""What the million do not have from the delivery that they are copied from."""
WAITING = "SELECT count(*) FROM deliveries WHERE state = 'pending'"
MAY_ADD = 60  # megabytes


@frozen
class Measured:
    """Seconds from publishing to arrival, and by how much the retries were later than asked."""

    arrivals: Sequence[float]
    delays: Sequence[float]

    def __str__(self) -> str:
        def shown(values: Sequence[float]) -> str:
            return f"p50 {median(values) * 1e3:.1f} ms, p95 {p95(values) * 1e3:.1f} ms"

        return f"published to received {shown(self.arrivals)}; retry late by {shown(self.delays)}"


def p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20)[-1]


@pytest.mark.long
@pytest.mark.experiment(28, "a million deliveries of one dead webhook")
async def test_a_dead_webhooks_million_deliveries_do_not_delay_a_live_one(
    tmp_path: Path, place: Place, tell: Callable[[str], None]
) -> None:
    async with (
        Receiver("hang") as dead,
        Receiver(fails_first()) as live,
        running(tmp_path, place, **SETTINGS) as (up, api),
    ):
        await api.subscribe(dead.url)
        await api.publish("the first of a million")
        others = Api(api.session, api.base)
        await others.subscribe(live.url)
        alone = await measured(others, live, "alone")
        without = up.most_memory
        await up.kill()
        await place.multiply("deliveries", MADE | {"delivery_id": place.numbered_id}, MILLION)
        await up.start()
        beside = await measured(others, live, "beside")
        await dead.down()
        refused = await measured(others, live, "refused")
        assert await place.count(WAITING) > MILLION // 2
        with_them = up.most_memory
    tell(f"alone: {alone}")
    tell(f"beside a million for one that hangs: {beside}")
    tell(f"beside a million for one that refuses: {refused}")
    tell(f"megabytes of memory: alone {without:.0f}, with the million {with_them:.0f}")
    assert with_them - without <= MAY_ADD
    # A claim that walks the dead queue takes a third of a second: retries would be that late.
    assert median(beside.arrivals) < median(alone.arrivals) + 0.05
    assert median(beside.delays) < median(alone.delays) + 0.15
    # One that refuses keeps the process busy with all that it has: the live one gets its turn.
    assert median(refused.arrivals) < 0.5
    assert median(refused.delays) < 1


def fails_first() -> Callable[[ReceivedRequest], int]:
    """Return 500 for the first attempt of every fifth delivery, so that it comes by a claim."""
    deliveries = dict[str, int]()

    def respond(request: ReceivedRequest) -> int:
        number = deliveries.setdefault(request.headers["webhook-delivery"], len(deliveries))
        is_first = request.headers["webhook-attempt"] == "1"
        return 500 if is_first and number % FAILING_FIRST == 0 else 200

    return respond


async def measured(api: Api, receiver: Receiver, name: str) -> Measured:
    """Publish one event after the other to a webhook; measure how they come."""
    receiver.requests.clear()
    published: dict[str, float] = {}
    for number in range(EVENTS):
        event_id = f"{name}-{number}"
        published[f"msg_{event_id}"] = time.time()
        await api.publish(event_id)
    await receiver.wait_for(EVENTS + EVENTS // FAILING_FIRST)
    return Measured(arrivals(receiver, published), delays(receiver))


def arrivals(receiver: Receiver, published: dict[str, float]) -> Sequence[float]:
    return [
        request.received_at.timestamp() - published[request.headers["webhook-id"]]
        for request in receiver.requests
        if request.headers["webhook-attempt"] == "1"
    ]


def delays(receiver: Receiver) -> Sequence[float]:
    first = {one.headers["webhook-id"]: one for one in reversed(receiver.requests)}
    return [
        (one.received_at - first[one.headers["webhook-id"]].received_at).total_seconds() - INTERVAL
        for one in receiver.requests
        if one.headers["webhook-attempt"] == "2"
    ]
