"""Storage of portal sessions."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notification_core.model.portal_session import PortalSession
from notification_core.model.request_records import RequestRecords


class PortalSessionStore(Protocol):
    """Keeps portal sessions: of codes and tokens the digests.

    All methods raise :class:`StorageUnavailable`. Sessions that have expired are deleted by
    :class:`Retention`, and may still be found until then.
    """

    @abstractmethod
    async def add(self, session: PortalSession, records: RequestRecords = ()) -> None:
        """Store a new session, and ``records`` with it."""

    @abstractmethod
    async def find(self, environment_id: UUID, session_id: UUID) -> PortalSession:
        """Return a session; raise :class:`PortalSessionNotFound`."""

    @abstractmethod
    async def page(
        self, environment_id: UUID, now: datetime, limit: int, before: UUID | None = None
    ) -> Sequence[PortalSession]:
        """Return the sessions that have not expired, by falling id, those below ``before`` only."""

    @abstractmethod
    async def change(
        self,
        environment_id: UUID,
        session_id: UUID,
        change: Callable[[PortalSession], PortalSession],
    ) -> PortalSession:
        """Replace the digests of a session by those that ``change`` makes of it; return it.

        Nobody else changes it meanwhile, so of several at once each sees what the one before it
        made. What ``change`` raises is raised, and nothing is written. Raises
        :class:`PortalSessionNotFound`.
        """

    @abstractmethod
    async def delete(
        self, environment_id: UUID, session_id: UUID, records: RequestRecords = ()
    ) -> None:
        """Delete a session, and write ``records`` with it; raise :class:`PortalSessionNotFound`."""
