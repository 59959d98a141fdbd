"""How a test waits for what is to come: for a condition, and never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE = 100.0
"""Seconds. Waiting ends with its condition, so a long patience costs only the test that fails: on a
machine that does many things at once, a start may take a minute."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1


async def until(
    what: str, holds: Callable[[], Awaitable[object]], seconds: float = PATIENCE
) -> None:
    """Return once a condition holds; fail when it does not come to that.

    The pauses are a tenth of the time that has passed: looking takes the machine from what is
    waited for.
    """
    start = time.monotonic()
    while not await holds():
        waited = time.monotonic() - start
        assert waited < seconds, f"Waited {seconds:.0f} s in vain until {what}."
        await asyncio.sleep(min(max(waited / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE))
