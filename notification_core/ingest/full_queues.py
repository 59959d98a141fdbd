"""Which queues are full: estimated now and then, so that taking events in never counts anything."""

from collections.abc import Set as AbstractSet
from uuid import UUID

from notification_core.ports.backlog import Backlog
from notification_core.ports.clock import Clock
from notification_core.ports.observer import Observer

ESTIMATED_EVERY = 10.0
"""Seconds between two looks."""

_REST = 20
"""An estimate that takes long is followed by a rest of so many times as long: it stays cheap."""


class FullQueueMonitor:
    """Knows the webhooks for which as many deliveries wait as may, as of the latest estimate."""

    def __init__(self, backlog: Backlog, clock: Clock, observer: Observer, most: int) -> None:
        self._backlog = backlog
        self._clock = clock
        self._observer = observer
        self._most = most
        self._full: set[UUID] = set()

    @property
    def webhooks(self) -> AbstractSet[UUID]:
        """The webhooks; it is the same set always, and changes with each estimate."""
        return self._full

    async def refresh(self) -> None:
        """Estimate again; raise :class:`StorageUnavailable`, and what was known stands."""
        full = await self._backlog.longer_than(self._most)
        self._full.clear()
        self._full.update(full)

    async def run(self) -> None:
        """Estimate for ever; ends by being cancelled."""
        while True:
            start = self._clock.monotonic()
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - the loop must survive whatever happens
                self._observer.background_task_failed("queues", error)
            took = self._clock.monotonic() - start
            await self._clock.sleep(max(ESTIMATED_EVERY, _REST * took))
