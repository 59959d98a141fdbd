"""Deleting all that is stored of an environment."""

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notification_core.model.erasure import ErasedBatch, Erasure
from notification_core.model.request_records import RequestRecords


class ErasureStore(Protocol):
    """Erases environments, in small transactions that can be torn anywhere and gone on with.

    While the erasure of an environment runs, :meth:`IngestTransaction.erasing` names it. Every
    method raises :class:`StorageUnavailable`, and those that write :class:`UnknownCommit`.
    Statements are scoped to the environment; :meth:`running` cannot be.
    """

    @abstractmethod
    async def begin(
        self, environment_id: UUID, now: datetime, records: RequestRecords = ()
    ) -> tuple[Erasure, int]:
        """Begin an erasure, or return the one that runs; with the webhooks' revision, which grew.

        All webhooks of the environment are tombstones then. After an erasure that was completed
        it is a new one. ``records`` is written where one begins.
        """

    @abstractmethod
    async def get(self, environment_id: UUID) -> Erasure:
        """Return the latest erasure of an environment; raise :class:`ErasureNotFound`."""

    @abstractmethod
    async def running(self) -> Collection[UUID]:
        """Return the environments whose erasure runs."""

    @abstractmethod
    async def advance(self, environment_id: UUID, limit: int) -> ErasedBatch:
        """Delete the next of what is stored of an environment, in one transaction.

        About ``limit`` rows of each kind go at most. A delivery of which an attempt is being made
        is left until that has ended, and its event with it. Once there is nothing left, and no
        transaction is open that has published since before, the erasure is completed, and the
        webhooks' revision grows. Where it does not run, or another process is at it, nothing is
        erased.
        """
