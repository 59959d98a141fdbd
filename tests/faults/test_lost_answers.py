"""Answers of receivers are lost on the way: each is a failed attempt, logged and retried."""

import re
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from attrs import evolve

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History, Seen, Stored
from tests.faults.load import all_published, under_load
from tests.faults.place import Place
from tests.faults.proxy import Loss, proxy_before
from tests.faults.stage import running
from tests.support.waiting import until

EVENTS = [f"event-{number:03}" for number in range(30)]
SETTINGS = {"WEBHOOKS_WRITE_TIMEOUT": "2s", "WEBHOOKS_RETRY_INTERVAL": "100ms"}
TRICKLE = 200  # bytes a second: a response takes most of a second
_ATTEMPT = re.compile(
    rb"webhook-delivery: (\S+).*webhook-attempt: (\d+)", re.DOTALL | re.IGNORECASE
)
_ERRORS = {Loss.RESET: "connect", Loss.END: "connect", Loss.SILENCE: "timeout"}


def is_lost(delivery_id: str, attempt: int) -> bool:
    """Choose half of the first attempts, in a way that everybody can tell."""
    return attempt == 1 and delivery_id[-1] in "01234567"


def loses(said: bytes) -> bool:
    attempt = _ATTEMPT.search(said)
    return attempt is not None and is_lost(attempt[1].decode(), int(attempt[2]))


def as_it_arrived(seen: Seen) -> Seen:
    """Return a receiver's account without a response where that was lost."""
    return evolve(seen, answered=None) if is_lost(seen.delivery_id, seen.attempt) else seen


def errors(stored: Stored, webhook_id: str) -> Counter[str | None]:
    ours = {one.delivery_id for one in stored.deliveries if one.webhook_id == webhook_id}
    return Counter(one.error for one in stored.attempts if one.delivery_id in ours)


@pytest.mark.experiment(5, "receivers' responses are lost, or trickle")
async def test_a_response_that_is_lost_is_a_failed_attempt_and_the_next_one_arrives(
    experiment: Experiment,
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        up, api = await stack.enter_async_context(running(experiment.folder, **SETTINGS))
        webhooks: list[tuple[str, Loss]] = []
        trickling = Accounts()
        for loss in Loss:
            receiver = await stack.enter_async_context(accounts.receiver(lambda: (0, 200)))
            proxy = await stack.enter_async_context(proxy_before(receiver.port))
            proxy.lose_responses_to(loses, loss)
            webhooks.append((await api.subscribe(f"http://127.0.0.1:{proxy.port}/"), loss))
        receiver = await stack.enter_async_context(trickling.receiver(lambda: (0, 200)))
        slow = await stack.enter_async_context(proxy_before(receiver.port))
        slow.rate = TRICKLE
        patient = await api.subscribe(f"http://127.0.0.1:{slow.port}/")
        await api.publish(*EVENTS)
        await until("all is delivered", up.is_done)
        key, stored = await api.key(), await up.stored()
        seen = [*map(as_it_arrived, accounts.seen(key)), *trickling.seen(key)]
        history = History(all_published(api, EVENTS), seen, stored)
    experiment.judge(history)
    for webhook_id, loss in webhooks:
        lost = sum(
            is_lost(one.delivery_id, 1) for one in stored.deliveries if one.webhook_id == webhook_id
        )
        assert errors(stored, webhook_id) == {None: len(EVENTS), _ERRORS[loss]: lost}
    assert errors(stored, patient) == {None: len(EVENTS)}


@pytest.mark.long
@pytest.mark.experiment(26, "publishers lose the response and publish again")
@pytest.mark.parametrize("loss", [Loss.RESET, Loss.END], ids=["reset", "end"])
async def test_a_publisher_that_hears_no_response_publishes_again_and_nothing_is_duplicated(
    experiment: Experiment, place: Place, loss: Loss
) -> None:
    async with (
        running(experiment.folder, place) as (up, api),
        proxy_before(up.ports[0]) as proxy,
        under_load(api, experiment.random, 0.05) as load,
    ):
        load.producer.api = evolve(api, base=f"http://127.0.0.1:{proxy.port}/api")
        proxy.lose_responses_to(lambda _: experiment.random.random() < 0.2, loss)

        async def has_lost() -> bool:
            return proxy.lost >= 20

        await until("many answers are lost", has_lost)
        await load.ended(place)
        history = load.history(await api.key(), Allowed())
    experiment.judge(history)
