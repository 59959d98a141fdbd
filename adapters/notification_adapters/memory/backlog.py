"""The backlog in memory."""

from collections import Counter
from collections.abc import Collection
from uuid import UUID

from notification_adapters.memory.claims import is_alive
from notification_adapters.memory.state import MemoryState
from notification_core.model.delivery import TEST_WORKER
from notification_core.ports.backlog import MAX_COUNTED, MAX_WEBHOOKS, Backlog, BacklogSize
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
        waiting = [one for one in state.deliveries.values() if one.is_waiting]
        workers = [one.worker for one in state.deliveries.values() if one.worker]
        seen = sorted({one.webhook_id for one in waiting})[:max_webhooks]
        # Those that are due latest come first, so that what stays is the age of the oldest.
        due = {
            one.webhook_id: now - one.due_at
            for one in sorted(waiting, key=lambda one: one.due_at, reverse=True)
            if one.webhook_id in seen and one.due_at <= now and is_alive(state, one.webhook_id, now)
        }
        return BacklogSize(
            waiting=min(len(waiting), max_counted),
            begun=min(len(workers), max_counted),
            webhooks=len(seen),
            due=due,
            workers=frozenset(workers) - {TEST_WORKER},
        )

    async def longer_than(self, most: int) -> Collection[UUID]:
        """Return the webhooks for which more than so many deliveries wait."""
        waiting = (one for one in self._state.deliveries.values() if one.is_waiting)
        lengths = Counter(one.webhook_id for one in waiting)
        return {webhook_id for webhook_id, length in lengths.items() if length > most}
