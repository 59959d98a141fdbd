"""Delivering again what was delivered before, or was not."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID

from notification_core.history import DeliveryRecord
from notification_core.idempotency import KeptAnswer


class ReplayStore(Protocol):
    """Makes further deliveries of stored events; all are due at once, for any worker to claim.

    Every method raises :class:`StorageUnavailable`, and those that write :class:`UnknownCommit`.
    """

    @abstractmethod
    async def retry(
        self, delivery: DeliveryRecord, delivery_id: UUID, kept: KeptAnswer | None = None
    ) -> None:
        """Store one more delivery, of this id, of the same event to the same webhook.

        Raises :class:`EventGone` where the event has no body any more, and
        :class:`AlreadyAnswered`; then nothing is stored.
        """
