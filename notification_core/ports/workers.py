"""Which dispatching processes are alive."""

from abc import abstractmethod
from collections.abc import Collection
from typing import Protocol
from uuid import UUID


class WorkerLock(Protocol):
    """A worker is alive while it holds its lock, which dies with its process."""

    @abstractmethod
    async def acquire(self, worker: UUID) -> None:
        """Take the lock of this worker; raise :class:`WorkerLockTaken` where none is to be had."""

    @abstractmethod
    async def release(self) -> None:
        """Give the lock back; does nothing where none is held."""

    @abstractmethod
    async def dead(self) -> Collection[UUID]:
        """Return the workers that own leases and are certainly dead."""
