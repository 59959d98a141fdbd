"""Which dispatching processes are alive."""

from abc import abstractmethod
from collections.abc import Collection
from typing import Protocol
from uuid import UUID


class WorkerLock(Protocol):
    """A worker is alive while it holds its lock, which dies with its process."""

    @abstractmethod
    async def acquire(self, worker: UUID) -> None:
        """Take the lock of this worker, and let go of that of a previous one.

        Raises :class:`WorkerLockTaken` where it is held already, or where another worker
        dispatches and the storage lets one do so at a time; and :class:`StorageUnavailable`.
        """

    @abstractmethod
    async def lost(self) -> None:
        """Return once the lock that was acquired is gone; never where it cannot get lost.

        Others may take this worker for dead by then. To be acquired again, under the same
        identity or another: once it is, nothing more of the worker's is freed.
        """

    @abstractmethod
    async def release(self) -> None:
        """Give the lock back; does nothing if none is held."""

    @abstractmethod
    async def dead(self) -> Collection[UUID]:
        """Return the workers that are certainly dead and own leases, or were enlisted.

        None without the lock.

        Where a lock may be missing for a moment it must be missing in two calls of this that are
        some seconds apart.
        """
