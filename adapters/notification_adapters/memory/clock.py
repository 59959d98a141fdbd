"""A clock that only moves when a test moves it."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

from notification_core.ports.clock import Clock

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TURNS = 20


class ManualClock(Clock):
    """Tells a time that only moves when it is told to, for tests without waiting.

    >>> clock = ManualClock()
    >>> await clock.advance(60)  # whoever slept up to a minute wakes, in order
    """

    def __init__(self, now: datetime = _START) -> None:
        self._now = now
        self._monotonic = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the time of day that the clock stands at."""
        return self._now

    def monotonic(self) -> float:
        """Return how many seconds the clock was advanced by."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been advanced that far; at once for no time at all."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wait = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), wait))
        await wait

    @property
    def sleeping(self) -> int:
        """How many tasks sleep now."""
        return sum(not wait.done() for _, _, wait in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move on by so many seconds and wake sleepers on the way, each at its own moment.

        Whoever wakes gets a few turns of the loop before the clock moves on, so that it can go
        to sleep again and be woken again within the same advance.
        """
        target = self._monotonic + seconds
        await _turns()
        while self._sleepers and self._sleepers[0][0] <= target:
            at, _, wait = heapq.heappop(self._sleepers)
            if not wait.done():
                self._move_to(at)
                wait.set_result(None)
                await _turns()
        self._move_to(target)

    def jump(self, by: timedelta) -> None:
        """Set the time of day forth or back, as an administrator would; no sleeper notices."""
        self._now += by

    def _move_to(self, monotonic: float) -> None:
        self._now += timedelta(seconds=monotonic - self._monotonic)
        self._monotonic = monotonic


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
