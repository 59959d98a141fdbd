"""Several workers on one storage, and one that hung: no delivery is in two hands at once."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from tests.faults import scenarios
from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import History
from tests.faults.load import all_published
from tests.faults.place import place_on
from tests.faults.stage import Api, Up, api_of
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

BATCHES, BATCH = 10, 1000
RECOVERY = 5.0


@pytest.mark.experiment(10, "a worker hangs for longer than its lease, and goes on")
async def test_what_a_worker_that_hung_says_of_what_others_have_taken_does_not_count(
    experiment: Experiment, postgres: PostgresServer
) -> None:
    async with place_on(postgres) as place:
        history, starting = await scenarios.hung_beside_another(experiment.folder, place, ())
    within = scenarios.LEASE + scenarios.POLL + RECOVERY + starting
    experiment.judge(history, recovers_within=within)
    answered = {(one.delivery_id, one.attempt) for one in history.seen if one.answered == 200}
    interrupted = {
        (one.delivery_id, one.number)
        for one in history.stored.attempts
        if one.outcome == "interrupted"
    }
    assert answered & interrupted, "what it was told while it hung came too late to be written"


_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.mark.experiment(18, "workers race for 10,000 deliveries of one webhook")
@pytest.mark.parametrize("workers", [2, 4])
async def test_workers_that_race_send_each_delivery_once_and_count_it_once(
    experiment: Experiment, postgres: PostgresServer, workers: int
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(postgres))
        receiver = await stack.enter_async_context(accounts.receiver(lambda: (0.005, 200)))
        nobody = {"PROJECT_MANAGEMENT_API_URI": "", "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
        server = Up(experiment.folder, nobody, "api", place=place)
        await Up(experiment.folder, nobody, "migrate", place=place).ended_well()
        rivals = [Up(experiment.folder / f"{number}", place=place) for number in range(workers)]
        for process in (server, *rivals):
            stack.push_async_callback(process.close)
        await server.start()
        api = await stack.enter_async_context(api_of(server))
        await api.subscribe(receiver.url)
        events = await _publish_bulk(api)
        began = datetime.now(UTC)
        for rival in rivals:
            await rival.spawn()
        await receiver.wait_for(len(events), within=120)
        await until("all is written", place.is_done, 60)
        shares = [await rival.metric("notification_attempts_total") for rival in rivals]
        experiment.tell(f"they sent {shares} within {datetime.now(UTC) - began}")
        history = History(
            all_published(api, events), accounts.seen(await api.key()), await place.stored()
        )
        deadlocks = await place.count(_DEADLOCKS)
    experiment.judge(history)
    assert len(history.seen) == len(events)
    assert all(shares), "all took part"
    assert not deadlocks, "they count the same webhook, each in rows of its own"


@pytest.mark.experiment(18, "a bulk is published to one of two workers, and the other takes part")
async def test_a_worker_takes_its_share_of_what_another_one_has_stored(
    experiment: Experiment, postgres: PostgresServer
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(postgres))
        receiver = await stack.enter_async_context(accounts.receiver(lambda: (0.02, 200)))
        both = [Up(experiment.folder / f"{number}", place=place) for number in range(2)]
        for process in both:
            stack.push_async_callback(process.close)
            await process.start()
        api = await stack.enter_async_context(api_of(both[0]))
        await api.subscribe(receiver.url)
        events = await _publish_bulk(api)
        await receiver.wait_for(len(events), within=120)
        await until("all is written", place.is_done, 60)
        shares = [await process.metric("notification_attempts_total") for process in both]
        experiment.tell(f"the two sent {shares}")
        history = History(
            all_published(api, events), accounts.seen(await api.key()), await place.stored()
        )
    experiment.judge(history)
    assert len(history.seen) == len(events)
    assert min(shares) > len(events) / 4, "neither keeps from the other what it could send"


async def _publish_bulk(api: Api) -> Sequence[str]:
    """Publish all events in batches; return their ids."""
    events = [f"event-{number:05}" for number in range(BATCHES * BATCH)]
    for batch in range(BATCHES):
        await api.publish(*events[batch * BATCH : (batch + 1) * BATCH])
    return events
