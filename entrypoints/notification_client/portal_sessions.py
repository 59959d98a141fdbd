"""The portal that customers see: the client's models and methods of it."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from notification_client.base import Model
from notification_client.transport import Transport, to_json

_PAGE = "100"


class PortalSession(Model, frozen=True, kw_only=True):
    """A customer's session in the portal of an environment; ``opened`` once its URL was."""

    session_id: UUID
    scope: str
    opened: bool
    created_at: datetime
    expires_at: datetime
    name: str | None = None


class NewPortalSession(Model, frozen=True, kw_only=True):
    """A portal session that was just created; its ``url`` is shown this once, and opens it once."""

    secret_fields: ClassVar[frozenset[str]] = frozenset({"url"})

    session_id: UUID
    url: str
    expires_at: datetime


class PortalSessionMethods:
    """Makes, lists and revokes portal sessions; part of :class:`NotificationClient`."""

    transport: Transport

    async def create_portal_session(
        self,
        environment_id: UUID,
        scope: str = "read",
        name: str | None = None,
        expires_in: str | None = None,
    ) -> NewPortalSession:
        """Open the portal for a customer: its ``url`` is for their browser, and works once.

        ``scope`` is ``read`` or ``write``, ``expires_in`` a duration such as ``8h``, an hour if it
        is left out; the audit log calls the customer by ``name``.
        """
        body = {"scope": scope}
        if name is not None:
            body["name"] = name
        if expires_in is not None:
            body["expires_in"] = expires_in
        path = f"/environments/{environment_id}/portal-sessions"
        # A repetition makes a second session, which nobody opens.
        response = await self.transport.request("POST", path, to_json(body))
        return msgspec.json.decode(response.body, type=NewPortalSession)

    async def portal_sessions(self, environment_id: UUID) -> AsyncIterator[PortalSession]:
        """Yield the portal sessions of an environment that have not expired, newest first."""
        path = f"/environments/{environment_id}/portal-sessions"
        async for page in self.transport.pages(path, {"limit": _PAGE}):
            for session in msgspec.json.decode(page, type=list[PortalSession]):
                yield session

    async def revoke_portal_session(self, environment_id: UUID, session_id: UUID) -> None:
        """End a portal session at once."""
        path = f"/environments/{environment_id}/portal-sessions/{session_id}"
        await self.transport.request("DELETE", path)
