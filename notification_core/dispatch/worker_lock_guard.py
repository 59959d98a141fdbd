"""The worker's lock, when it is lost: nothing is sent until others know again that we live.

Who loses the lock is soon taken for dead, and others make the attempts that it has begun. So it
stops at once. Within some seconds it may have the lock back, as after a restart of the storage's
server, and keeps what it still owns; later it goes on as a new worker that owns nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from notification_core.dispatch.delivery_runner import DeliveryRunner
from notification_core.errors import StorageUnavailable, WorkerLockLost, WorkerLockTaken
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import DeliveryStore
from notification_core.ports.observer import Observer
from notification_core.ports.worker_lock import WorkerLock

GRACE_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.25


class WorkerLockGuard:
    """Watches over the lock of the worker that sends."""

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        lock: WorkerLock,
        runner: DeliveryRunner,
        deliveries: DeliveryStore,
        clock: Clock,
        observer: Observer,
        new_worker: Callable[[], UUID],
    ) -> None:
        self._lock = lock
        self._runner = runner
        self._deliveries = deliveries
        self._clock = clock
        self._observer = observer
        self._new_worker = new_worker
        self._recovering = asyncio.Lock()

    async def recover_once(self) -> None:
        """Return after a loss of the lock, once it is held again and sending goes on."""
        await self._lock.lost()
        async with self._recovering:
            await self._recover()

    async def _recover(self) -> None:
        self._runner.suspend()
        self._observer.background_task_failed("lock", WorkerLockLost("The worker's lock was lost."))
        if await self._taken_again():
            await self._keep_what_is_owned()
        else:
            await self._start_anew()
        self._runner.resume()

    async def replace(self, worker: UUID) -> None:
        """Go on as a new worker, which owns nothing, if this one may begin nothing more."""
        async with self._recovering:
            if worker == self._runner.worker:
                self._runner.suspend()
                await self._start_anew()
                self._runner.resume()

    async def _start_anew(self) -> None:
        worker = self._new_worker()
        while not (await self._takes(worker) and await self._enlists(worker)):
            await self._clock.sleep(_PAUSE_SECONDS)
        self._runner.become(worker)

    async def _taken_again(self) -> bool:
        until = self._clock.monotonic() + GRACE_SECONDS
        while not await self._takes(self._runner.worker):
            if self._clock.monotonic() >= until:
                return False
            await self._clock.sleep(_PAUSE_SECONDS)
        return True

    async def _takes(self, worker: UUID) -> bool:
        try:
            await self._lock.acquire(worker)
        except (StorageUnavailable, WorkerLockTaken):
            return False
        return True

    async def _enlists(self, worker: UUID) -> bool:
        try:
            await self._deliveries.enlist(worker)
        except StorageUnavailable:
            return False
        return True

    async def _keep_what_is_owned(self) -> None:
        """Let go of what others have freed meanwhile; nobody frees any more of it now."""
        waiting = self._runner.queue.fences()
        while True:
            try:
                owned = await self._deliveries.leased(self._runner.worker)
            except StorageUnavailable:
                await self._clock.sleep(_PAUSE_SECONDS)
            else:
                self._runner.let_go(waiting - set(owned))
                return
