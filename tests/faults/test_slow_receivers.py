"""Receivers that hang or fail delay no others, and every request verifies."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.faults.checker import check
from tests.faults.history import Allowed, History, Published
from tests.faults.stage import TYPE, Api, Up, running, until
from tests.faults.verification import all_seen
from tests.receivers import Receiver

EVENTS = [f"event-{number:03}" for number in range(100)]
HEALTHY = 8


async def test_of_ten_webhooks_the_one_that_hangs_and_the_one_that_fails_slow_no_other(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    async with AsyncExitStack() as stack:
        up, api = await stack.enter_async_context(
            running(tmp_path, WEBHOOKS_WRITE_TIMEOUT="8s", WEBHOOKS_MAX_RETRIES="2")
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
        assert outcomes(up, hung_id) == Counter()
        assert hanging.requests

        await failing.wait_for(len(EVENTS) + 2)
        hanging.release()
        await until("all is delivered", lambda: settled(up))
        assert outcomes(up, failing_id) == {"failed": 2, "succeeded": 100}
        assert retried(failing) == 2
        tell(times(failing, healthy))
        await verify(up, api, hanging, failing, healthy)


def outcomes(up: Up, webhook_id: str) -> Counter[str]:
    """Count the outcomes of a webhook's attempts."""
    stored = up.stored()
    ours = {one.delivery_id for one in stored.deliveries if one.webhook_id == webhook_id}
    return Counter(one.outcome for one in stored.attempts if one.delivery_id in ours)


async def settled(up: Up) -> bool:
    return all(one.state == "succeeded" for one in up.stored().deliveries)


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


async def verify(
    up: Up, api: Api, hanging: Receiver, failing: Receiver, healthy: Sequence[Receiver]
) -> None:
    """Have the checker see all that came."""
    answered = [(request, 200) for each in (hanging, *healthy) for request in each.requests]
    refused = [(one, 500 if number < 2 else 200) for number, one in enumerate(failing.requests)]
    history = History(
        published=[Published(one, api.environment, TYPE, acknowledged=True) for one in EVENTS],
        seen=all_seen([*answered, *refused], await api.key()),
        stored=up.stored(),
        allowed=Allowed(max_retries=2),
    )
    verdict = check(history)
    assert verdict.holds, str(verdict)
