"""Messages that were stored in the transaction of what they tell of, until they are sent."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from notification_core.model.outbox_message import OutgoingMessage


class Outbox(Protocol):
    """Gives stored messages to one worker at a time, in the order in which they were stored.

    Storage fills it if it was given the names of topics, with the operational events and dead
    letters of every committed transaction. All methods raise :class:`StorageUnavailable`.
    """

    @abstractmethod
    async def acquire(
        self, worker: UUID, lease: timedelta, limit: int, limit_bytes: int
    ) -> Sequence[OutgoingMessage]:
        """Return the oldest messages, and keep the outbox to this worker for ``lease``.

        At most ``limit``, and (but for the first one) ``limit_bytes`` of values. None are
        returned if there are none, or where another worker has the outbox.
        """

    @abstractmethod
    async def renew(self, worker: UUID, lease: timedelta) -> None:
        """Keep the outbox to this worker for ``lease`` from now on, if it has it still."""

    @abstractmethod
    async def remove(self, message_ids: Collection[UUID]) -> None:
        """Delete messages that have been sent; those that are gone are not an error."""

    @abstractmethod
    async def release(self, worker: UUID) -> None:
        """Let other workers have the outbox at once, if this one has it."""
