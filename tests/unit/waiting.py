"""Waiting for a condition, in turns of the loop and steps of the manual clock; never for a time."""

import asyncio
from collections.abc import Callable

from notification_adapters.memory import ManualClock

_STEP = 0.125  # a sum of these is exact
_TURNS = 500
_TURNS_A_STEP = 50  # the clock itself gives some more


async def until(condition: Callable[[], object], clock: ManualClock, *, within: float = 0) -> None:
    """Return once the condition holds, after at most ``within`` seconds of the clock."""
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
