"""Waking in memory: the workers of one process hear each other."""

import asyncio

from notification_core.ports.dispatch_notifier import DispatchNotifier


class MemoryNotifier(DispatchNotifier):
    """Wakes all others of the same circle, which it joins."""

    def __init__(self, circle: "list[MemoryNotifier]") -> None:
        self._circle = circle
        self._event = asyncio.Event()
        circle.append(self)

    def wake(self) -> None:
        """Wake all others."""
        for other in self._circle:
            if other is not self:
                other._event.set()  # noqa: SLF001 - one of our own

    async def wait(self) -> None:
        """Return once another one has called :meth:`wake`."""
        await self._event.wait()
        self._event.clear()

    async def close(self) -> None:
        """Leave the circle."""
        if self in self._circle:
            self._circle.remove(self)
