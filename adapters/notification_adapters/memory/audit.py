"""The audit log in memory."""

from collections.abc import Sequence
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.model.request_records import AuditEntry
from notification_core.ports.audit import AuditLog


class MemoryAuditLog(AuditLog):
    """Reads what the other stores of a memory have kept."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def page(
        self, environment_id: UUID | None, limit: int, before: UUID | None = None
    ) -> Sequence[AuditEntry]:
        """Return the entries of an environment by falling id, those below ``before`` only."""
        newest_first = sorted(self._state.audit.items(), reverse=True)
        theirs = (entry for _, entry in newest_first if entry.environment_id == environment_id)
        return [entry for entry in theirs if before is None or entry.entry_id < before][:limit]
