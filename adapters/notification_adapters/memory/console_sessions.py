"""The store of console sessions in memory."""

from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.model.console_session import ConsoleSession
from notification_core.model.request_records import RequestRecords
from notification_core.ports.console_sessions import ConsoleSessionStore


class MemoryConsoleSessionStore(ConsoleSessionStore):
    """Keeps console sessions in a dict."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def add(self, session: ConsoleSession, records: RequestRecords = ()) -> None:
        """Store a new session."""
        async with self._state.writing:
            self._state.add_records(records)
            self._state.console_sessions[session.session_id] = session

    async def find(self, session_id: UUID) -> ConsoleSession | None:
        """Return a session, None if there is none."""
        return self._state.console_sessions.get(session_id)

    async def delete(self, session_id: UUID, records: RequestRecords = ()) -> None:
        """Delete a session; ``records`` is written only if it was there."""
        async with self._state.writing:
            if self._state.console_sessions.pop(session_id, None):
                self._state.add_records(records)
