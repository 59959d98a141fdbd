"""The store of portal sessions in memory."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState
from notification_core.errors import PortalSessionNotFound
from notification_core.model.portal_session import PortalSession
from notification_core.model.request_records import RequestRecords
from notification_core.ports.portal_sessions import PortalSessionStore


class MemoryPortalSessionStore(PortalSessionStore):
    """Keeps portal sessions in a dict."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def add(self, session: PortalSession, records: RequestRecords = ()) -> None:
        """Store a new session."""
        async with self._state.writing:
            self._state.add_records(records)
            self._state.portal_sessions[session.session_id] = session

    async def find(self, environment_id: UUID, session_id: UUID) -> PortalSession:
        """Return a session."""
        session = self._state.portal_sessions.get(session_id)
        if session is None or session.environment_id != environment_id:
            raise PortalSessionNotFound(session_id)
        return session

    async def page(
        self, environment_id: UUID, now: datetime, limit: int, before: UUID | None = None
    ) -> Sequence[PortalSession]:
        """Return the sessions that have not expired, by falling id."""
        sessions = self._state.portal_sessions
        return [
            sessions[session_id]
            for session_id in sorted(sessions, reverse=True)
            if sessions[session_id].environment_id == environment_id
            and sessions[session_id].is_live(now)
            and (before is None or session_id < before)
        ][:limit]

    async def change(
        self,
        environment_id: UUID,
        session_id: UUID,
        change: Callable[[PortalSession], PortalSession],
    ) -> PortalSession:
        """Replace the digests of a session."""
        async with self._state.writing:
            session = await self.find(environment_id, session_id)
            made = change(session)
            self._state.portal_sessions[session_id] = evolve(
                session, code_digest=made.code_digest, token_digest=made.token_digest
            )
            return made

    async def delete(
        self, environment_id: UUID, session_id: UUID, records: RequestRecords = ()
    ) -> None:
        """Delete a session."""
        async with self._state.writing:
            await self.find(environment_id, session_id)
            del self._state.portal_sessions[session_id]
            self._state.add_records(records)
