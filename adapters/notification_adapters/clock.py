"""The machine's clock."""

import asyncio
import time
from datetime import UTC, datetime

from notification_core.ports.clock import Clock


class SystemClock(Clock):
    """Tells the host's time; it sleeps in the event loop."""

    def now(self) -> datetime:
        """Return the host's time of day."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the host's monotonic time."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep in the event loop."""
        await asyncio.sleep(seconds)
