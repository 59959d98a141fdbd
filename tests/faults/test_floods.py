"""More than fits at once: few connections to the storage, and a receiver that was down for long."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import quantiles

import pytest

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History
from tests.faults.load import all_published
from tests.faults.place import Place, place_on
from tests.faults.stage import Api, running
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

WEBHOOKS, EVENTS = 200, 10
BATCHES, BATCH = 50, 1000
PER_WEBHOOK = 64
IDLE = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
  AND state LIKE 'idle in transaction%' AND now() - state_change > interval '500 ms'
"""


def p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20)[-1]


@pytest.mark.experiment(13, "two connections to the storage, 200 slow receivers")
async def test_slow_receivers_hold_no_connection_to_the_storage(
    experiment: Experiment, postgres: PostgresServer
) -> None:
    accounts = Accounts()
    settings = {"DB_POOL_SIZE": "2", "WEBHOOKS_MAX_IN_FLIGHT": "512"}
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(postgres))
        receiver = await stack.enter_async_context(accounts.receiver(lambda: (1, 200)))
        _, api = await stack.enter_async_context(running(experiment.folder, place, **settings))
        for number in range(WEBHOOKS):
            await api.subscribe(f"{receiver.url}{number}")
        events = [f"event-{number}" for number in range(EVENTS)]
        await api.publish(*events)
        took: list[float] = []
        while not await place.is_done():
            began = time.monotonic()
            await api.call_for_list(f"environments/{api.environment}/webhooks")
            took.append(time.monotonic() - began)
            assert await place.count(IDLE) == 0
        experiment.tell(f"{len(took)} calls of the API meanwhile, p95 {p95(took):.3f} s")
        history = History(
            all_published(api, events), accounts.seen(await api.key()), await place.stored()
        )
    experiment.judge(history)
    assert len(history.seen) == WEBHOOKS * EVENTS
    assert p95(took) < 1 or not experiment.judged


@pytest.mark.experiment(34, "50,000 deliveries queue for a receiver that is down")
async def test_a_receiver_that_comes_back_is_served_at_its_bound_and_delays_no_other(
    experiment: Experiment, place: Place
) -> None:
    accounts, alongside = Accounts(), Accounts()
    settings = {
        "WEBHOOKS_MAX_RETRIES": "1000",
        "WEBHOOKS_BREAKER_FAILURES": "0",
        "WEBHOOKS_RETRY_INTERVAL": "2s",
        "WEBHOOKS_MAX_IN_FLIGHT": "512",
    }
    async with AsyncExitStack() as stack:
        away = await stack.enter_async_context(accounts.receiver(lambda: (0, 200)))
        other = await stack.enter_async_context(alongside.receiver(lambda: (0, 200)))
        _, api = await stack.enter_async_context(running(experiment.folder, place, **settings))
        await api.subscribe(away.url)
        others = Api(api.session, api.base)
        await others.subscribe(other.url)
        await away.down()
        events = [f"event-{number:05}" for number in range(BATCHES * BATCH)]
        beside = [f"beside-{batch:02}" for batch in range(BATCHES)]
        late: list[float] = []
        for batch in range(BATCHES):
            await api.publish(*events[batch * BATCH : (batch + 1) * BATCH])
            began = time.monotonic()
            await others.publish(beside[batch])
            await other.wait_for(batch + 1, within=60)
            late.append(time.monotonic() - began)
        await away.up()
        began = time.monotonic()
        await until("all is delivered", place.is_done, 400)
        took = time.monotonic() - began
        experiment.tell(f"drained in {took:.1f} s; another webhook's events took {p95(late):.3f} s")
        history = History(
            [*all_published(api, events), *all_published(others, beside)],
            [*accounts.seen(await api.key()), *alongside.seen(await others.key())],
            await place.stored(),
            Allowed(max_retries=1000),
        )
    experiment.judge(history)
    assert away.most_in_flight <= PER_WEBHOOK
    assert p95(late) < 1 or not experiment.judged
