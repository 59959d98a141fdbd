"""The worker's lock in memory: for several workers in one process, as tests have them."""

import asyncio
from collections.abc import Collection
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.errors import WorkerLockTaken
from notification_core.model.delivery import TEST_WORKER
from notification_core.ports.worker_lock import WorkerLock


class LockHolder:
    """Who holds the one lock of a storage: what all its worker locks share."""

    def __init__(self) -> None:
        self.worker: UUID | None = None


class MemoryWorkerLock(WorkerLock):
    """One worker's lock; others on the same holder cannot take it meanwhile."""

    def __init__(self, state: MemoryState, holder: LockHolder) -> None:
        self._state = state
        self._holder = holder
        self._worker: UUID | None = None
        self._lost = asyncio.Event()

    async def acquire(self, worker: UUID) -> None:
        """Take the lock; raise :class:`WorkerLockTaken` where another one has it."""
        if self._holder.worker not in {None, self._worker}:
            raise WorkerLockTaken("Another worker already dispatches from this storage.")
        self._holder.worker = self._worker = worker
        self._lost.clear()

    async def lost(self) -> None:
        """Return once :meth:`lose` was called."""
        await self._lost.wait()

    def lose(self) -> None:
        """Lose the lock, for tests: whoever comes first can have it now."""
        self._holder.worker = None
        self._lost.set()

    async def release(self) -> None:
        """Give the lock back; does nothing if none is held."""
        if self._worker is not None:
            self._holder.worker = self._worker = None

    async def dead(self) -> Collection[UUID]:
        """Return all other workers: none of them can have the lock."""
        if self._worker is None:
            return frozenset()
        owners = {
            delivery.worker for delivery in self._state.deliveries.values() if delivery.worker
        }
        return (owners | self._state.workers.keys()) - {self._worker, TEST_WORKER}
