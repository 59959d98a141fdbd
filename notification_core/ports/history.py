"""Looking back: what happened to events and deliveries. It changes nothing."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from notification_core.model.event import EventKey
from notification_core.model.read_models import (
    EVERY_DELIVERY,
    EVERY_EVENT,
    DeliveryCriteria,
    DeliveryPage,
    DeliveryView,
    EventBody,
    EventCriteria,
    EventPage,
    EventPlace,
    EventRecord,
)


class History(Protocol):
    """Reads events and deliveries; all raise :class:`StorageUnavailable`.

    Where a page shows only some rows, at most :data:`MAX_EXAMINED` are looked at: it may come
    back short, or empty, and yet be followed by another. Statements are scoped to the
    environment; :meth:`environment_of` cannot be.
    """

    @abstractmethod
    async def environment_of(self, delivery_id: UUID) -> UUID:
        """Return the environment of a delivery; raise :class:`DeliveryNotFound`."""

    @abstractmethod
    async def delivery(self, environment_id: UUID, delivery_id: UUID) -> DeliveryView:
        """Return a delivery with its attempts; raise :class:`DeliveryNotFound`."""

    @abstractmethod
    async def of_webhook(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        limit: int,
        before: UUID | None = None,
        criteria: DeliveryCriteria = EVERY_DELIVERY,
    ) -> DeliveryPage:
        """Return a webhook's deliveries by falling id, those below ``before`` only."""

    @abstractmethod
    async def event(self, environment_id: UUID, event_id: str) -> EventRecord:
        """Return an event; raise :class:`EventNotFound`."""

    @abstractmethod
    async def body(self, environment_id: UUID, event_id: str) -> EventBody:
        """Return an event with its body.

        Raises :class:`EventNotFound`, and :class:`EventGone` if its body is not stored.
        """

    @abstractmethod
    async def known_events(self, keys: Collection[EventKey]) -> Collection[EventKey]:
        """Return those of these keys that events are stored under."""

    @abstractmethod
    async def of_event(
        self, environment_id: UUID, event_id: str, limit: int, before: UUID | None = None
    ) -> DeliveryPage:
        """Return an event's deliveries by falling id, those below ``before`` only."""

    @abstractmethod
    async def events(
        self,
        environment_id: UUID,
        limit: int,
        before: EventPlace | None = None,
        criteria: EventCriteria = EVERY_EVENT,
    ) -> EventPage:
        """Return an environment's events by falling (time stored, id), those below ``before``."""

    @abstractmethod
    async def bodies(
        self, environment_id: UUID, event_types: Collection[str], limit: int
    ) -> Sequence[EventBody]:
        """Return an environment's latest events of some types that have a body, newest first.

        At most ``limit`` of them, at most :data:`MAX_BODIES_TOGETHER` bytes unless the first one
        has more, and from among the latest :data:`MAX_EXAMINED` events only.
        """
