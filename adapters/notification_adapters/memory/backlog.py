"""The backlog in memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from notification_adapters.memory.claims import is_alive
from notification_adapters.memory.state import MemoryState
from notification_core.concurrency.ids import milliseconds_of
from notification_core.model.delivery import TEST_WORKER
from notification_core.model.erasure import ErasureState
from notification_core.model.replay import ReplayState
from notification_core.ports.backlog import (
    MAX_COUNTED,
    MAX_WEBHOOKS,
    NOTHING,
    Backlog,
    BacklogSize,
    QueueLength,
    Unfinished,
)
from notification_core.ports.clock import Clock


class MemoryBacklog(Backlog):
    """Measures what waits in memory."""

    def __init__(self, state: MemoryState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def size(
        self, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> BacklogSize:
        """Return how much waits."""
        state, now = self._state, self._clock.now()
        waiting = [delivery for delivery in state.deliveries.values() if delivery.is_waiting]
        workers = [delivery.worker for delivery in state.deliveries.values() if delivery.worker]
        seen = sorted({delivery.webhook_id for delivery in waiting})[:max_webhooks]
        # Those that are due latest come first, so that what stays is the age of the oldest.
        due = {
            delivery.webhook_id: now - delivery.due_at
            for delivery in sorted(waiting, key=lambda delivery: delivery.due_at, reverse=True)
            if delivery.webhook_id in seen
            and delivery.due_at <= now
            and is_alive(state, delivery.webhook_id, now)
            and not state.webhooks[delivery.webhook_id].is_paused
        }
        return BacklogSize(
            waiting=min(len(waiting), max_counted),
            claimed=min(len(workers), max_counted),
            webhooks=len(seen),
            due=due,
            workers=frozenset(workers) - {TEST_WORKER},
            paused=sum(health.probes is not None for health in state.health.values()),
            outbox=_unfinished(map(_made_at, state.outbox), now, max_counted),
            operational_events=_unfinished(
                (event.occurred_at for event in state.operational_events.values()),
                *(now, max_counted),
            ),
            replays=_unfinished(
                (
                    stored.replay.created_at
                    for stored in state.replays.values()
                    if stored.replay.state is ReplayState.RUNNING
                ),
                *(now, max_counted),
            ),
            erasures=_unfinished(
                (
                    erasure.requested_at
                    for erasure in state.erasures.values()
                    if erasure.state is ErasureState.RUNNING
                ),
                *(now, max_counted),
            ),
        )

    async def longest(
        self, limit: int, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> Sequence[QueueLength]:
        """Return the longest queues, the longest first."""
        lengths = Counter(
            (delivery.webhook_id, delivery.environment_id)
            for delivery in self._state.deliveries.values()
            if delivery.is_waiting
        )
        queues = [
            QueueLength(environment_id, webhook_id, min(length, max_counted), length < max_counted)
            for (webhook_id, environment_id), length in sorted(lengths.items())[:max_webhooks]
        ]
        return sorted(queues, key=lambda queue: queue.waiting, reverse=True)[:limit]

    async def longer_than(self, most: int) -> Collection[UUID]:
        """Return the webhooks for which more than so many deliveries wait."""
        waiting = (delivery for delivery in self._state.deliveries.values() if delivery.is_waiting)
        lengths = Counter(delivery.webhook_id for delivery in waiting)
        return {webhook_id for webhook_id, length in lengths.items() if length > most}


def _unfinished(since: Iterable[datetime], now: datetime, most: int) -> Unfinished:
    ages = [now - at for at in since]
    return Unfinished(min(len(ages), most), max(ages)) if ages else NOTHING


def _made_at(message_id: UUID) -> datetime:
    return datetime.fromtimestamp(milliseconds_of(message_id) / 1000, UTC)
