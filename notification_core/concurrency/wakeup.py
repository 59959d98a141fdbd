"""How one part of the dispatcher tells a loop that there is something to do."""

import asyncio

from notification_core.ports.clock import Clock


class Wakeup:
    """Set by whoever knows of work, waited for by the loop that does it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def set(self) -> None:
        """Say that there is something to do."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Return when it is set, or after that time; it is not set any more then."""
        if not self._event.is_set():
            await self._first_of_event_and_time(seconds)
        self._event.clear()

    async def _first_of_event_and_time(self, seconds: float) -> None:
        waits = [
            asyncio.ensure_future(self._event.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
