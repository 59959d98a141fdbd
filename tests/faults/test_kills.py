"""kill -9 in mid-run, at random moments, and nothing is lost."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from tests.faults.accounts import Accounts, Manner, recovery
from tests.faults.checker import check, cut_off_by_kill, interruptions
from tests.faults.files import write_history
from tests.faults.history import Allowed, History, Published
from tests.faults.producer import Producer, producing
from tests.faults.stage import Api, Up, running, until

RECOVERY = 3.0
"""Seconds after it is ready: with a start of one or two, that is within five of the kill."""


@pytest.mark.parametrize(
    ("kills", "in_flight", "slowest"), [(5, 512, 0.6), (3, 16, 0.06)], ids=["512", "16"]
)
async def test_kills_lose_nothing_and_repeat_no_more_than_was_in_flight(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    tmp_path: Path,
    seed: int,
    tell: Callable[[str], None],
    kills: int,
    in_flight: int,
    slowest: float,
) -> None:
    random = Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        up, api = await stack.enter_async_context(
            running(
                tmp_path,
                WEBHOOKS_MAX_IN_FLIGHT=str(in_flight),
                WEBHOOKS_MAX_IN_FLIGHT_PER_WEBHOOK=str(in_flight),
                WEBHOOKS_RETRY_INTERVAL="200ms",
            )
        )
        for manner in manners(random, slowest):
            receiver = await stack.enter_async_context(accounts.receiver(manner))
            await api.subscribe(receiver.url)
        producer = await stack.enter_async_context(producing(api, random))
        await kill_and_start(up, random, kills)
        producer.stop()
        await until("all is delivered", lambda: is_delivered(up, producer))
        history = await account(up, api, producer, accounts, in_flight)
        assert await up.terminate() == 0
    write_history(tmp_path, history)
    verdict = check(history)
    assert verdict.holds, f"{verdict}\npython -m tests.faults.checker {tmp_path}"
    recoveries = [recovery(history.seen, start) for start in up.starts[1:]]
    tell(summary(history, recoveries))
    assert recoveries[-1] is not None
    # How long a busy machine takes to start a process is not for this test to judge.
    starting = [ready - start for ready, start in zip(up.readies, up.starts, strict=True)][1:]
    for seconds, start in zip(recoveries, starting, strict=True):
        assert seconds is None or seconds <= start.total_seconds() + RECOVERY


def manners(random: Random, slowest: float) -> Sequence[Manner]:
    """Return how the receivers answer: at once, after some time, and every eighth with a 500."""
    return [
        lambda: (0, 200),
        lambda: (random.uniform(slowest / 3, slowest), 204),
        lambda: (random.uniform(0, slowest), 500 if random.random() < 1 / 8 else 200),
    ]


async def kill_and_start(up: Up, random: Random, kills: int) -> None:
    for _ in range(kills):
        await asyncio.sleep(random.uniform(0.1, 1.2))
        await up.kill()
        await up.start()


async def is_delivered(up: Up, producer: Producer) -> bool:
    stored = up.stored()
    there = {one.event_id for one in stored.events}
    acknowledged = {one.event_id for one in producer.published() if one.acknowledged}
    ended = all(one.state != "pending" and not one.held for one in stored.deliveries)
    return ended and acknowledged <= there


async def account(
    up: Up, api: Api, producer: Producer, accounts: Accounts, in_flight: int
) -> History:
    return History(
        published=producer.published(),
        seen=accounts.seen(await api.key()),
        stored=up.stored(),
        allowed=Allowed(max_in_flight=in_flight, starts=up.starts),
    )


def summary(history: History, recoveries: Sequence[float | None]) -> str:
    """Say what the run came to."""
    published: Sequence[Published] = history.published
    acknowledged = sum(one.acknowledged for one in published)
    shown = ", ".join("-" if one is None else f"{one:.2f}" for one in recoveries)
    return (
        f"{acknowledged} events acknowledged, {len(published) - acknowledged} unknown, "
        f"{len(history.stored.deliveries)} deliveries, {len(history.seen)} requests, "
        f"{interruptions(history.stored.attempts)} interruptions, of these seen by kill "
        f"{list(cut_off_by_kill(history))}, recovered after {shown} s"
    )
