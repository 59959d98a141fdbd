"""Receivers that hang or fail delay no others, and every request verifies."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History
from tests.faults.load import all_published
from tests.faults.marks import postgres_when_long
from tests.faults.place import Place
from tests.faults.stage import Api, Up, running
from tests.faults.verification import all_seen
from tests.support.receivers import Receiver
from tests.support.waiting import until

EVENTS = [f"event-{number:03}" for number in range(100)]
HEALTHY = 8


@pytest.mark.experiment(19, "one of ten receivers hangs, one fails")
@postgres_when_long
async def test_of_ten_webhooks_the_one_that_hangs_and_the_one_that_fails_slow_no_other(
    experiment: Experiment, place: Place
) -> None:
    async with AsyncExitStack() as stack:
        up, api = await stack.enter_async_context(
            running(
                experiment.folder,
                place,
                WEBHOOKS_WRITE_TIMEOUT="8s",
                WEBHOOKS_MAX_RETRIES="2",
                WEBHOOKS_BREAKER_FAILURES="0",
            )
        )
        hanging = await stack.enter_async_context(Receiver("hang"))
        failing = await stack.enter_async_context(Receiver(500, 500, 200))
        healthy = [await stack.enter_async_context(Receiver()) for _ in range(HEALTHY)]
        hung_id = await api.subscribe(hanging.url)
        failing_id, *_ = [await api.subscribe(each.url) for each in (failing, *healthy)]

        await api.publish(*EVENTS)
        for each in (*healthy, failing):
            await each.wait_for(len(EVENTS))
        # Those of the hanging one have not even timed out: nobody has waited for it.
        assert await outcomes(up, hung_id) == Counter()
        assert hanging.requests

        await failing.wait_for(len(EVENTS) + 2)
        hanging.release()
        await until("all is delivered", up.is_done)
        assert await outcomes(up, failing_id) == {"failed": 2, "succeeded": 100}
        assert retried(failing) == 2
        experiment.tell(times(failing, healthy))
        history = await account(up, api, hanging, failing, healthy)
    experiment.judge(history)


async def outcomes(up: Up, webhook_id: str) -> Counter[str]:
    """Count the outcomes of a webhook's attempts."""
    stored = await up.stored()
    ours = {one.delivery_id for one in stored.deliveries if one.webhook_id == webhook_id}
    return Counter(one.outcome for one in stored.attempts if one.delivery_id in ours)


def retried(receiver: Receiver) -> int:
    return sum(request.headers["webhook-attempt"] != "1" for request in receiver.requests)


def times(failing: Receiver, healthy: Sequence[Receiver]) -> str:
    """Say how long after the first request of all the hundredth one came, by receiver."""
    began = min(each.requests[0].received_at for each in (failing, *healthy))

    def after(receiver: Receiver) -> float:
        return (receiver.requests[len(EVENTS) - 1].received_at - began).total_seconds()

    ends = sorted(map(after, healthy))
    return (
        f"the {HEALTHY} healthy ones had all after {ends[0]:.3f} to {ends[-1]:.3f} s, "
        f"the one that failed twice its hundredth request after {after(failing):.3f} s"
    )


async def account(
    up: Up, api: Api, hanging: Receiver, failing: Receiver, healthy: Sequence[Receiver]
) -> History:
    """Return all that is known of the run."""
    answered = [(request, 200) for each in (hanging, *healthy) for request in each.requests]
    refused = [(one, 500 if number < 2 else 200) for number, one in enumerate(failing.requests)]
    return History(
        published=all_published(api, EVENTS),
        seen=all_seen([*answered, *refused], await api.key()),
        stored=await up.stored(),
        allowed=Allowed(max_retries=2),
    )
