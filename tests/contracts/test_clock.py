"""What a clock promises, and what the one that tests move promises beyond that."""

import asyncio
from datetime import UTC, timedelta

import pytest

from notification_adapters.clock import SystemClock
from notification_adapters.memory import ManualClock
from notification_core.ports.clock import Clock


@pytest.fixture(params=[SystemClock, ManualClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Return each clock in turn."""
    made: Clock = request.param()
    return made


async def test_a_clock_tells_utc_and_never_goes_back(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


async def test_no_sleep_is_over_at_once(clock: Clock) -> None:
    await asyncio.wait_for(clock.sleep(0), timeout=5)
    await asyncio.wait_for(clock.sleep(-1), timeout=5)


async def test_the_system_sleeps_at_least_as_long_as_asked() -> None:
    clock = SystemClock()
    began = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - began >= 0.01


async def test_sleepers_wake_in_order_each_at_its_own_moment() -> None:
    clock, woken = ManualClock(), []
    start = clock.now()

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now() - start, clock.monotonic()))

    async with asyncio.TaskGroup() as tasks:
        for name, seconds in (("late", 5), ("early", 1), ("also early", 1)):
            tasks.create_task(sleeper(name, seconds))
        await clock.advance(4.5)
        second = timedelta(seconds=1)
        assert woken == [("early", second, 1), ("also early", second, 1)]
        assert (clock.sleeping, clock.now() - start) == (1, 4.5 * second)
        await clock.advance(0.5)
    assert woken[2:] == [("late", 5 * second, 5)]


async def test_whoever_sleeps_again_and_again_is_woken_each_time() -> None:
    clock, beats = ManualClock(), []

    async def beat() -> None:
        while True:
            await clock.sleep(1)
            beats.append(clock.monotonic())

    task = asyncio.create_task(beat())
    await clock.advance(3.5)
    task.cancel()
    assert beats == [1, 2, 3]


async def test_a_sleeper_that_was_cancelled_holds_nobody_up() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.advance(0)
    task.cancel()
    await clock.advance(2)
    assert task.cancelled()
    assert clock.sleeping == 0


async def test_the_time_of_day_may_jump_and_no_sleeper_notices() -> None:
    clock = ManualClock()
    start = clock.now()
    task = asyncio.create_task(clock.sleep(10))
    await clock.advance(0)
    clock.jump(timedelta(hours=-1))
    assert clock.now() == start - timedelta(hours=1)
    assert (clock.monotonic(), task.done()) == (0, False)
    await clock.advance(10)
    assert task.done()
