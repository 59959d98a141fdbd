"""Storage of console sessions."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID

from notification_core.model.console_session import ConsoleSession
from notification_core.model.request_records import RequestRecords


class ConsoleSessionStore(Protocol):
    """Keeps console sessions: of their tokens the digests.

    Sessions are the installation's, as API keys are: no statement is scoped to an environment. All
    methods raise :class:`StorageUnavailable`. Those that have expired are deleted by
    :class:`Retention`.
    """

    @abstractmethod
    async def add(self, session: ConsoleSession, records: RequestRecords = ()) -> None:
        """Store a new session, and ``records`` with it."""

    @abstractmethod
    async def find(self, session_id: UUID) -> ConsoleSession | None:
        """Return a session, None if there is none."""

    @abstractmethod
    async def delete(self, session_id: UUID, records: RequestRecords = ()) -> None:
        """Delete a session; ``records`` is written only if it was there."""
