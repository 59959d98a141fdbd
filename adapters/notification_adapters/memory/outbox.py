"""The outbox in memory."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.model.outbox_message import OutgoingMessage
from notification_core.ports.clock import Clock
from notification_core.ports.outbox import Outbox


class MemoryOutbox(Outbox):
    """Gives the messages that the other stores have put into the outbox."""

    def __init__(self, state: MemoryState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._worker: UUID | None = None
        self._leased_until: datetime | None = None

    async def acquire(
        self, worker: UUID, lease: timedelta, limit: int, limit_bytes: int
    ) -> Sequence[OutgoingMessage]:
        """Return the oldest messages, and keep the outbox to this worker."""
        now = self._clock.now()
        is_over = self._leased_until is not None and self._leased_until < now
        is_free = self._worker in {None, worker} or is_over
        if not self._state.outbox or not is_free:
            return ()
        self._worker, self._leased_until = worker, now + lease
        batch: list[OutgoingMessage] = []
        for message_id in sorted(self._state.outbox)[:limit]:
            message = self._state.outbox[message_id]
            total = sum(len(stored.value or b"") for stored in (*batch, message))
            if batch and total > limit_bytes:
                break
            batch.append(message)
        return batch

    async def renew(self, worker: UUID, lease: timedelta) -> None:
        """Keep the outbox to this worker for longer."""
        if self._worker == worker:
            self._leased_until = self._clock.now() + lease

    async def remove(self, message_ids: Collection[UUID]) -> None:
        """Delete messages that have been sent."""
        for message_id in message_ids:
            self._state.outbox.pop(message_id, None)

    async def release(self, worker: UUID) -> None:
        """Let other workers have the outbox at once."""
        if self._worker == worker:
            self._worker = None
