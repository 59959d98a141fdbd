"""The log store in memory."""

from collections.abc import Sequence
from itertools import islice
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.deliveries import Attempt
from notification_core.ports.logs import LogStore


class MemoryLogStore(LogStore):
    """Reads the attempts that the delivery store in memory has logged."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def page(
        self, environment_id: UUID, webhook_id: UUID, limit: int, before: UUID | None = None
    ) -> Sequence[Attempt]:
        """Return a webhook's attempts by falling ``log_id``, those below ``before`` only."""
        newest_first = self._state.attempts_of(environment_id, webhook_id)
        older = (one for one in newest_first if before is None or one.log_id < before)
        return list(islice(older, limit))
