"""How a test waits for what is to come: for a condition, and never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE = 100.0
"""Seconds. Waiting ends with its condition, so a long patience costs only the test that fails: on a
machine that does many things at once, a start may take a minute."""


async def until(
    what: str, holds: Callable[[], Awaitable[object]], seconds: float = PATIENCE
) -> None:
    """Return once a condition holds; fail when it does not come to that."""
    end = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < end, f"Waited {seconds:.0f} s in vain until {what}."
        await asyncio.sleep(0.01)
