"""Delivering again, in memory."""

from uuid import UUID

from notification_adapters.memory.state import MemoryState, StoredDelivery
from notification_core.deliveries import Origin, State
from notification_core.errors import EventGone
from notification_core.history import DeliveryRecord
from notification_core.idempotency import KeptAnswer
from notification_core.ports.clock import Clock
from notification_core.ports.replays import ReplayStore


class MemoryReplayStore(ReplayStore):
    """Makes further deliveries of the events in memory."""

    def __init__(self, state: MemoryState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def retry(
        self, delivery: DeliveryRecord, delivery_id: UUID, kept: KeptAnswer | None = None
    ) -> None:
        """Store one more delivery of the same event to the same webhook."""
        async with self._state.writing:
            if kept is not None:
                self._state.check_unanswered(kept)
            event = self._state.events.get((delivery.environment_id, delivery.event_id))
            if event is None or event.body is None:
                raise EventGone(delivery.event_id)
            self._state.deliveries[delivery_id] = self._again(delivery, delivery_id, Origin.RETRY)
            if kept is not None:
                self._state.keep(kept)

    def _again(self, delivery: DeliveryRecord, delivery_id: UUID, origin: Origin) -> StoredDelivery:
        now = self._clock.now()
        return StoredDelivery(
            delivery_id=delivery_id,
            environment_id=delivery.environment_id,
            webhook_id=delivery.webhook_id,
            event_id=delivery.event_id,
            state=State.PENDING,
            reason=None,
            created_at=now,
            due_at=now,
            origin=origin,
        )
