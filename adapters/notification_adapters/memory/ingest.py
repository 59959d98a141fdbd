"""Storing a batch of events with all their deliveries, in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState, StoredDelivery, StoredEvent
from notification_adapters.memory.webhooks import webhooks_of
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import DeadLetterNotFound
from notification_core.model.delivery import DeliveryState, NewDelivery
from notification_core.model.event import (
    Arrival,
    Event,
    EventKey,
    EventToStore,
    KnownEvent,
    arrivals,
)
from notification_core.model.message import DeadLetter, identity_of
from notification_core.model.request_records import RequestRecords
from notification_core.model.webhook import Webhook
from notification_core.ports.dead_letters import StoredDeadLetter
from notification_core.ports.deliveries import IngestTransaction


class MemoryIngest(IngestTransaction):
    """A batch of events that :meth:`commit` stores as a whole."""

    def __init__(self, state: MemoryState, now: datetime, ids: IdGenerator) -> None:
        self._state = state
        self._now = now
        self._ids = ids
        self._events: dict[EventKey, StoredEvent] = {}
        self._deliveries: list[StoredDelivery] = []
        self._records: list[RequestRecords] = []
        self._dead_letters: list[StoredDeadLetter] = []
        self._removed_letters: list[UUID] = []
        self._taken: list[str] = []

    async def subscriptions(self, environment_ids: Collection[UUID]) -> Sequence[Webhook]:
        """Return all webhooks of these environments."""
        return webhooks_of(self._state, environment_ids)

    async def webhooks_revision(self) -> int:
        """Return the webhooks' revision."""
        return self._state.webhooks_revision

    async def erasing(self) -> Collection[UUID]:
        """Return the environments that are being erased."""
        return self._state.erasing()

    async def add_events(self, events: Sequence[EventToStore]) -> Mapping[EventKey, Arrival]:
        """Store the events that are new, and tell of each whether it is."""
        known_events: dict[EventKey, KnownEvent] = {}
        for arrived in events:
            event = arrived.event
            stored = self._state.events.get(event.key) or self._events.get(event.key)
            if stored is None:
                self._events[event.key] = StoredEvent(
                    event.type,
                    event.occurred_at,
                    arrived.body,
                    self._now,
                    event.ordering_key,
                    event.traceparent,
                )
            else:
                known_events[event.key] = KnownEvent(stored.type, stored.body)
        return arrivals(events, known_events)

    async def add_deliveries(
        self, deliveries: Sequence[NewDelivery], worker: UUID | None, lease: timedelta
    ) -> None:
        """Store deliveries; those that are claimed with their lease."""
        for delivery in deliveries:
            stored = StoredDelivery(
                delivery_id=delivery.delivery_id,
                environment_id=delivery.environment_id,
                webhook_id=delivery.webhook_id,
                event_id=delivery.event_id,
                state=delivery.state,
                reason=delivery.reason,
                created_at=self._now,
                due_at=self._now,
                ordering_key=delivery.ordering_key,
            )
            if delivery.claimed and worker is not None:
                until = self._now + lease
                stored.claim(worker, self._now, until, prefetched=delivery.prefetched)
            self._deliveries.append(stored)

    async def take_operational_events(self, environment_id: UUID, limit: int) -> Sequence[Event]:
        """Take the oldest operational events that wait for webhooks."""
        waiting = self._state.operational_events
        self._taken = sorted(waiting)[:limit]
        return [evolve(waiting[key], environment_id=environment_id) for key in self._taken]

    async def add_records(self, records: RequestRecords) -> None:
        """Write the response to the request that all this is for."""
        self._state.require_no_response(records)
        self._records.append(records)

    async def add_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Store messages that are not events, those that are new."""
        stored = self._state.dead_letters.values()
        identities = {identity_of(letter.dead_letter.message) for letter in stored}
        self._dead_letters += [
            StoredDeadLetter(self._ids(), self._now, letter)
            for letter in dead_letters
            if identity_of(letter.message) not in identities
        ]

    async def remove_dead_letter(self, letter_id: UUID) -> None:
        """Delete a dead letter whose event this stores."""
        if letter_id not in self._state.dead_letters:
            raise DeadLetterNotFound(letter_id)
        self._removed_letters.append(letter_id)

    def commit(self) -> None:
        """Store all of it."""
        self._state.events.update(self._events)
        for taken in self._taken:
            del self._state.operational_events[taken]
        for delivery in self._deliveries:
            self._state.add_delivery(delivery)
            if delivery.state is not DeliveryState.PENDING:
                counts = self._state.counts(delivery.environment_id, delivery.webhook_id, self._now)
                counts.count_end(delivery.state)
        for records in self._records:
            self._state.add_records(records)
        for letter in self._dead_letters:
            self._state.dead_letters[letter.letter_id] = letter
            self._state.forward(letter.dead_letter)
        for letter_id in self._removed_letters:
            del self._state.dead_letters[letter_id]
