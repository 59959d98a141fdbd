"""How a test waits: for a condition, and never for a time, on the real clock or on a manual one."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from notification_adapters.memory import ManualClock

PATIENCE = 100.0
"""Seconds. Waiting ends with its condition, so a long patience costs only the test that fails: on a
machine that does many things at once, a start may take a minute."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1

_STEP = 0.125  # a sum of these is exact
_TURNS = 500
_TURNS_A_STEP = 50  # the clock itself gives some more


async def until(
    what: str, holds: Callable[[], Awaitable[object]], seconds: float = PATIENCE
) -> None:
    """Return once a condition holds; fail when it does not come to that.

    The pauses are a tenth of the time that has passed: looking takes the CPU from what is
    waited for.
    """
    start = time.monotonic()
    while not await holds():
        waited = time.monotonic() - start
        assert waited < seconds, f"Waited {seconds:.0f} s in vain until {what}."
        await asyncio.sleep(min(max(waited / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE))


async def advance_until(
    condition: Callable[[], object], clock: ManualClock, *, within: float = 0
) -> None:
    """Return once the condition holds, after at most ``within`` seconds of a manual clock.

    It waits in turns of the loop and, once those did not bring it about, in steps of the clock.
    """
    turns = _TURNS_A_STEP if within else _TURNS
    for _ in range(round(within / _STEP) + 1):
        if await _soon(condition, turns):
            return
        await clock.advance(_STEP if within else 0)
    message = f"not so within {within} s"
    raise AssertionError(message)


async def _soon(condition: Callable[[], object], turns: int) -> bool:
    for _ in range(turns):
        if condition():
            return True
        await asyncio.sleep(0)
    return False
