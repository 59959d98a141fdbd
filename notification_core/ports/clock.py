"""Time, as the core sees it."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time of day and measures durations; the core reads time from nowhere else."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC. It may jump."""

    @abstractmethod
    def monotonic(self) -> float:
        """Return seconds since some fixed moment. It never goes backwards."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of the monotonic time; may be cancelled."""
