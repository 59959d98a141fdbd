"""Changes in memory."""

from collections.abc import Hashable
from datetime import datetime
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.model.statistics import Counts
from notification_core.ports.changes import EnvironmentChanges


class MemoryEnvironmentChanges(EnvironmentChanges):
    """Marks an environment by what memory has of it."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def mark(self, environment_id: UUID, since: datetime) -> Hashable:
        """Return what differs from an earlier mark if something has changed."""
        state, counted = self._state, Counts()
        for (environment, _, _, start), counts in state.statistics.items():
            if environment == environment_id and start >= since:
                counted.merge(counts)
        return (
            frozenset(counted.attempts.items()),
            frozenset(counted.deliveries.items()),
            tuple(
                (webhook.webhook_id, webhook.version, webhook.deleted_at)
                for webhook in state.webhooks.values()
                if webhook.environment_id == environment_id
            ),
            tuple(
                repr(stored)
                for stored in state.replays.values()
                if stored.replay.environment_id == environment_id
            ),
            repr(state.erasures.get(environment_id)),
        )
