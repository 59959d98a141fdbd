"""The responses to requests that may be sent once more, in memory."""

from datetime import datetime
from itertools import islice
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.model.request_records import StoredResponse
from notification_core.ports.idempotency import IdempotencyStore


class MemoryIdempotencyStore(IdempotencyStore):
    """Finds and deletes what the other stores of a memory have kept."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def find(
        self, environment_id: UUID | None, request: str, since: datetime
    ) -> StoredResponse | None:
        """Return what a request was answered after ``since``, if it was."""
        response = self._state.responses.get((environment_id, request))
        return response if response is not None and response.responded_at > since else None

    async def delete_before(self, before: datetime, limit: int) -> int:
        """Delete responses that were given until then; return how many, at most ``limit``."""
        async with self._state.writing:
            responses = self._state.responses
            old = (key for key, response in responses.items() if response.responded_at <= before)
            forgotten = list(islice(old, limit))
            for key in forgotten:
                del responses[key]
        return len(forgotten)
