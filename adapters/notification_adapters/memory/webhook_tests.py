"""Trying webhooks out, in memory."""

from datetime import timedelta

from notification_adapters.memory.state import MemoryState, StoredDelivery, StoredEvent
from notification_adapters.memory.webhook_health import heal
from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryOrigin,
    DeliveryState,
    EndReason,
)
from notification_core.model.delivery_transitions import after_test
from notification_core.model.event import EventToStore
from notification_core.model.request_records import RequestRecords
from notification_core.ports.clock import Clock
from notification_core.ports.webhook_tests import WebhookTestStore


class MemoryWebhookTestStore(WebhookTestStore):
    """Keeps what webhooks are tried out with in memory."""

    def __init__(self, state: MemoryState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def begin(
        self,
        event: EventToStore,
        delivery: ClaimedDelivery,
        lease: timedelta,
        records: RequestRecords = (),
    ) -> None:
        """Store an event and its one delivery, of which attempt 1 is about to be made."""
        now, fence, arrived = self._clock.now(), delivery.fence, event.event
        stored = StoredDelivery(
            delivery_id=fence.delivery_id,
            environment_id=fence.environment_id,
            webhook_id=delivery.webhook_id,
            event_id=delivery.event_id,
            state=DeliveryState.FAILED,
            reason=EndReason.INTERRUPTED,
            created_at=now,
            due_at=now,
            origin=DeliveryOrigin.TEST,
        )
        stored.claim(fence.worker, now, now + lease)
        async with self._state.writing:
            self._state.require_no_response(records)
            self._state.events[stored.event_key] = StoredEvent(
                arrived.type, arrived.occurred_at, event.body, now
            )
            self._state.deliveries[fence.delivery_id] = stored
            self._state.add_records(records)

    async def finish(self, attempt: Attempt, records: RequestRecords = ()) -> bool:
        """Log the attempt, and let its delivery end as it did; tell whether that was done."""
        async with self._state.writing:
            self._state.add_records(records)
            delivery = self._state.deliveries.get(attempt.delivery_id)
            if delivery is None or delivery.worker is None:
                return False
            now = self._clock.now()
            delivery.end_attempt(after_test(attempt, now))
            counts = self._state.counts(attempt.environment_id, attempt.webhook_id, now)
            counts.count_attempt(attempt)
            self._state.attempts[attempt.log_id] = attempt
            if attempt.outcome is AttemptOutcome.SUCCEEDED:
                is_resumed = heal(self._state, attempt.webhook_id, self._clock.now())
                self._state.webhooks_revision += is_resumed
        return True
