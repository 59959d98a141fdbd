"""Storage of the requests by which webhooks are tried out."""

from abc import abstractmethod
from datetime import timedelta
from typing import Protocol

from notification_core.model.delivery import Attempt, ClaimedDelivery
from notification_core.model.event import EventToStore
from notification_core.model.request_records import RequestRecords


class WebhookTestStore(Protocol):
    """Keeps what a webhook is tried out with, like any event, delivery and attempt.

    Every method is one transaction, and raises :class:`StorageUnavailable` and
    :class:`UnknownCommit`.
    """

    @abstractmethod
    async def begin(
        self,
        event: EventToStore,
        delivery: ClaimedDelivery,
        lease: timedelta,
        records: RequestRecords = (),
    ) -> None:
        """Store an event and its one delivery, of which attempt 1 is about to be made.

        The delivery is ``failed(interrupted)`` unless :meth:`finish` says otherwise: it is never
        claimed, and where the lease runs out its attempt is logged as ``interrupted``. Raises
        :class:`ResponseAlreadyStored`, also if the request's first effect has only begun;
        then nothing is stored.
        """

    @abstractmethod
    async def finish(self, attempt: Attempt, records: RequestRecords = ()) -> bool:
        """Log the attempt, and let its delivery end as it did; tell whether that was done.

        It is not where the lease had run out. ``records`` takes the place of what was kept at
        :meth:`begin`.
        """
