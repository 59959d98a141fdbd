"""Running work beside what a block does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

_LAG_SECONDS: Final = 0.5
"""How often the lag of the event loop is measured."""


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run ``work`` for the length of the block; at its end it is cancelled, and has ended."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def measure_loop_lag(on_lag: Callable[[float], None]) -> None:
    """Tell twice a second, until cancelled, how many seconds late the event loop is."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_SECONDS
        await asyncio.sleep(_LAG_SECONDS)
        on_lag(max(0.0, loop.time() - due))
