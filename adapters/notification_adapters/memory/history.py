"""Looking back on events and deliveries, in memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.pages import page_from
from notification_adapters.memory.state import MemoryState, StoredDelivery, StoredEvent
from notification_core.concurrency.ids import earliest_id
from notification_core.errors import DeliveryNotFound, EventGone, EventNotFound
from notification_core.model.delivery import DeliveryState
from notification_core.model.event import EventKey
from notification_core.model.ordering import HELD_UNTIL
from notification_core.model.read_models import (
    EVERY_DELIVERY,
    EVERY_EVENT,
    MAX_EXAMINED,
    DeliveryCriteria,
    DeliveryPage,
    DeliveryView,
    EventBody,
    EventCriteria,
    EventPage,
    EventPlace,
    EventRecord,
    EventSummary,
    fitting,
)
from notification_core.ports.history import History


class MemoryHistory(History):
    """Reads what the other stores of a memory have written."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def environment_of(self, delivery_id: UUID) -> UUID:
        """Return the environment of a delivery."""
        if delivery_id not in self._state.deliveries:
            raise DeliveryNotFound(delivery_id)
        return self._state.deliveries[delivery_id].environment_id

    async def delivery(self, environment_id: UUID, delivery_id: UUID) -> DeliveryView:
        """Return a delivery with its attempts."""
        stored = self._state.deliveries.get(delivery_id)
        if stored is None or stored.environment_id != environment_id:
            raise DeliveryNotFound(delivery_id)
        attempts = [
            attempt
            for attempt in self._state.attempts.values()
            if attempt.delivery_id == delivery_id
        ]
        return evolve(
            self._record(stored), attempts=sorted(attempts, key=lambda attempt: attempt.number)
        )

    async def of_webhook(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        limit: int,
        before: UUID | None = None,
        criteria: DeliveryCriteria = EVERY_DELIVERY,
    ) -> DeliveryPage:
        """Return a webhook's deliveries by falling id, those below ``before`` only."""
        of_it = (
            delivery
            for delivery in self._state.deliveries.values()
            if (delivery.environment_id, delivery.webhook_id) == (environment_id, webhook_id)
        )
        first = None if criteria.since is None else earliest_id(criteria.since)
        last = None if criteria.until is None else earliest_id(criteria.until)
        return page_from(
            (
                delivery
                for delivery in self._newest_first(of_it, before)
                if (first is None or delivery.delivery_id >= first)
                and (last is None or delivery.delivery_id < last)
            ),
            limit,
            lambda delivery: self._matches(delivery, criteria),
            lambda delivery: delivery.delivery_id,
            is_selective=criteria.is_selective,
        )

    async def event(self, environment_id: UUID, event_id: str) -> EventRecord:
        """Return an event."""
        stored = self._state.events.get((environment_id, event_id))
        if stored is None:
            raise EventNotFound(event_id)
        times = stored.occurred_at, stored.stored_at
        return EventRecord(
            event_id, environment_id, stored.type, *times, ordering_key=stored.ordering_key
        )

    async def body(self, environment_id: UUID, event_id: str) -> EventBody:
        """Return an event with its body."""
        stored = self._state.events.get((environment_id, event_id))
        if stored is None:
            raise EventNotFound(event_id)
        if stored.body is None:
            raise EventGone(event_id)
        return EventBody(event_id, stored.type, stored.body)

    async def known_events(self, keys: Collection[EventKey]) -> Collection[EventKey]:
        """Return those of these keys that events are stored under."""
        return self._state.events.keys() & set(keys)

    async def of_event(
        self, environment_id: UUID, event_id: str, limit: int, before: UUID | None = None
    ) -> DeliveryPage:
        """Return an event's deliveries by falling id, those below ``before`` only."""
        key = environment_id, event_id
        of_it = (
            delivery for delivery in self._state.deliveries.values() if delivery.event_key == key
        )
        return page_from(
            self._newest_first(of_it, before),
            limit,
            lambda _: True,
            lambda delivery: delivery.delivery_id,
            is_selective=False,
        )

    async def events(
        self,
        environment_id: UUID,
        limit: int,
        before: EventPlace | None = None,
        criteria: EventCriteria = EVERY_EVENT,
    ) -> EventPage:
        """Return an environment's events by falling (time stored, id), those below ``before``."""
        stored = {
            EventPlace(event.stored_at, event_id): event
            for (environment, event_id), event in self._state.events.items()
            if environment == environment_id
        }
        places = (
            place for place in sorted(stored, reverse=True) if before is None or place < before
        )
        return page_from(
            (
                self._summary(environment_id, place.event_id, stored[place])
                for place in places
                if (criteria.since is None or place.stored_at >= criteria.since)
                and (criteria.until is None or place.stored_at < criteria.until)
            ),
            limit,
            lambda event: criteria.event_type in {None, event.event_type},
            lambda event: EventPlace(event.stored_at, event.event_id),
            is_selective=criteria.is_selective,
        )

    async def bodies(
        self, environment_id: UUID, event_types: Collection[str], limit: int
    ) -> Sequence[EventBody]:
        """Return an environment's latest events of some types that have a body, newest first."""
        stored = {
            EventPlace(event.stored_at, event_id): event
            for (environment, event_id), event in self._state.events.items()
            if environment == environment_id
        }
        latest = [(place, stored[place]) for place in sorted(stored, reverse=True)[:MAX_EXAMINED]]
        found = [
            EventBody(place.event_id, event.type, event.body)
            for place, event in latest
            if event.body is not None and event.type in event_types
        ][:limit]
        return found[: fitting(len(event.body) for event in found)]

    def _summary(self, environment_id: UUID, event_id: str, stored: StoredEvent) -> EventSummary:
        key = environment_id, event_id
        all_deliveries = self._state.deliveries.values()
        counts = Counter(delivery.state for delivery in all_deliveries if delivery.event_key == key)
        return EventSummary(
            event_id,
            environment_id,
            stored.type,
            stored.occurred_at,
            stored.stored_at,
            {state: counts[state] for state in DeliveryState},
            stored.ordering_key,
        )

    def _newest_first(
        self, stored: Iterable[StoredDelivery], before: UUID | None
    ) -> list[DeliveryView]:
        older = [
            self._record(delivery)
            for delivery in stored
            if before is None or delivery.delivery_id < before
        ]
        return sorted(older, key=lambda delivery: delivery.delivery_id, reverse=True)

    def _record(self, stored: StoredDelivery) -> DeliveryView:
        is_held = stored.is_waiting and stored.due_at == HELD_UNTIL
        return DeliveryView(
            delivery_id=stored.delivery_id,
            environment_id=stored.environment_id,
            webhook_id=stored.webhook_id,
            event_id=stored.event_id,
            event_type=self._state.events[stored.event_key].type,
            state=stored.state,
            attempt=stored.attempt,
            created_at=stored.created_at,
            reason=stored.reason,
            origin=stored.origin,
            replay_id=stored.replay_id,
            next_attempt_at=stored.due_at if stored.is_waiting and not is_held else None,
            ordering_key=stored.ordering_key,
            held=is_held,
        )

    def _matches(self, delivery: DeliveryView, criteria: DeliveryCriteria) -> bool:
        return (
            criteria.state in {None, delivery.state}
            and criteria.event_type in {None, delivery.event_type}
            and (
                criteria.http_code is None
                or any(
                    attempt.response and attempt.response.http_code == criteria.http_code
                    for attempt in self._state.attempts.values()
                    if attempt.delivery_id == delivery.delivery_id
                )
            )
        )
