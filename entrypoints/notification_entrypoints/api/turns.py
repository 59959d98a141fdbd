"""Long work in one process with everything else: done in pieces, with others served in between."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final, TypeVar

_T = TypeVar("_T")

_TURN_SECONDS: Final = 0.01


async def in_turns(items: Iterable[_T]) -> list[_T]:
    """Return the items, whose making takes time; the event loop runs between them every 10 ms."""
    made: list[_T] = []
    turn_ends = time.monotonic() + _TURN_SECONDS
    for item in items:
        made.append(item)
        if time.monotonic() >= turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + _TURN_SECONDS
    return made
