"""Webhooks that are deleted, disabled and changed while deliveries are out or wait."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import History
from tests.faults.load import all_published
from tests.faults.marks import postgres_when_long
from tests.faults.place import Place
from tests.faults.stage import Up, running
from tests.support.receivers import Receiver
from tests.support.waiting import until

EVENTS = [f"event-{number:02}" for number in range(40)]
FEW_AT_ONCE = {
    "WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK": "4",
    "WEBHOOKS_RETRY_INTERVAL": "100ms",
    "WEBHOOKS_BREAKER_FAILURES": "0",
}
NOTICED = timedelta(seconds=1)


@pytest.mark.experiment(29, "webhooks deleted during delivery and back-off")
@postgres_when_long
async def test_nothing_starts_after_the_deletion_of_a_webhook_was_answered(
    experiment: Experiment, place: Place
) -> None:
    random = experiment.random
    accounts = Accounts()
    receiver = accounts.receiver(lambda: (0.005, 500 if random.random() < 1 / 10 else 200))
    async with receiver, running(experiment.folder, place, **FEW_AT_ONCE) as (up, api):
        webhook_ids = [await api.subscribe(f"{receiver.url}{number}") for number in range(10)]
        events = [f"event-{number:03}" for number in range(200)]
        await api.publish(*events)
        # Some have arrived, some are in back-off, some are out, and the others wait.
        await receiver.wait_for(100)
        answered: dict[str, datetime] = {}
        for webhook_id in webhook_ids:
            await api.delete(webhook_id)
            answered[webhook_id] = datetime.now(UTC)
        await until("nothing is left to do", up.is_done)
        stored = await up.stored()
        webhook_of = {one.delivery_id: one.webhook_id for one in stored.deliveries}
        for attempt in stored.attempts:
            assert attempt.started_at < answered[webhook_of[attempt.delivery_id]]
        ends = {(one.state, one.reason) for one in stored.deliveries}
        assert ends == {("succeeded", None), ("cancelled", "webhook_deleted")}
        history = History(
            published=all_published(api, events),
            seen=accounts.seen(await api.key()),
            stored=stored,
        )
    experiment.judge(history)


@pytest.mark.experiment(29, "a URL changed during back-off")
@postgres_when_long
async def test_a_retry_goes_to_the_changed_url(tmp_path: Path, place: Place) -> None:
    settings = {"WEBHOOKS_RETRY_INTERVAL": "1s", "WEBHOOKS_BREAKER_FAILURES": "0"}
    async with (
        Receiver(500) as old,
        Receiver() as new,
        running(tmp_path, place, **settings) as (up, api),
    ):
        webhook_id = await api.subscribe(old.url)
        await api.publish(*EVENTS)
        await old.wait_for(len(EVENTS))
        await api.change(webhook_id, url=new.url)
        sent_before = len(old.requests)
        await new.wait_for(len(EVENTS))
        assert len(old.requests) == sent_before
        await until("all is delivered", lambda: has_states(up, {"succeeded": len(EVENTS)}))
        assert {request.headers["webhook-attempt"] for request in new.requests} == {"2"}


@pytest.mark.experiment(30, "a webhook disabled for a time")
@postgres_when_long
async def test_a_disabled_webhook_is_sent_nothing_until_its_time_is_up(
    experiment: Experiment, place: Place
) -> None:
    settings = {"WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK": "2", "WEBHOOKS_RETRY_INTERVAL": "100ms"}
    async with (
        Receiver("hang", "hang", 200) as receiver,
        running(experiment.folder, place, **settings) as (up, api),
    ):
        webhook_id = await api.subscribe(receiver.url)
        await api.publish(*EVENTS)
        await receiver.wait_for(2)
        end = datetime.now(UTC) + timedelta(seconds=2)
        await api.change(webhook_id, disabled_until=end.isoformat())
        sent_before = len(receiver.requests)
        receiver.release()
        await api.publish("skipped")
        await receiver.wait_until(lambda requests: len(requests) > sent_before)
        resumed = receiver.requests[sent_before].received_at
        assert resumed >= end
        assert resumed <= end + NOTICED or not experiment.judged
        await until(
            "the others are delivered",
            lambda: has_states(up, {"succeeded": len(EVENTS), "skipped": 1}),
        )


@pytest.mark.experiment(30, "a webhook enabled before its time")
@postgres_when_long
async def test_a_webhook_that_is_enabled_before_its_time_is_served_within_a_second(
    experiment: Experiment,
    place: Place,
) -> None:
    async with (
        Receiver() as receiver,
        running(experiment.folder, place, WEBHOOKS_BREAKER_FAILURES="0") as (up, api),
    ):
        webhook_id = await api.subscribe(receiver.url)
        await receiver.down()
        await api.publish("event")
        await until("the first attempt has failed", lambda: has_attempts(up, 1))
        await api.change(webhook_id, disabled_until="9999-12-31T23:59:59Z")
        await receiver.up()
        await asyncio.sleep(1.5)  # beyond the time of its retry
        assert not receiver.requests
        enabled = datetime.now(UTC)
        await api.change(webhook_id, disabled_until=None)
        (request,) = await receiver.wait_for(1)
        assert request.received_at <= enabled + NOTICED or not experiment.judged


async def has_states(up: Up, states: dict[str, int]) -> bool:
    return Counter(one.state for one in (await up.stored()).deliveries) == states


async def has_attempts(up: Up, count: int) -> bool:
    return len((await up.stored()).attempts) == count
