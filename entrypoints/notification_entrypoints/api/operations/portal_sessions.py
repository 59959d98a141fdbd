"""The operations on portal sessions."""

from collections.abc import Mapping
from typing import cast

import msgspec
from aiohttp import web
from attrs import frozen

from notification_core.access.portal_sessions import PortalSessionDraft, PortalSessionService
from notification_core.model.caller import Scope
from notification_core.model.durations import parse_duration
from notification_core.model.event import timestamp_of
from notification_core.model.portal_session import DEFAULT_LENGTH, PortalSession
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.edge import OriginPolicy
from notification_entrypoints.api.endpoint import (
    CREATED,
    NO_CONTENT,
    ApiCall,
    Handler,
    json_response,
)
from notification_entrypoints.api.paging import Paging

PORTAL_PATH = "/console/portal/"
"""Where a one-time code is exchanged; the code follows."""


@frozen
class PortalSessionOperations:
    """Makes, lists and revokes portal sessions."""

    sessions: PortalSessionService
    audit_trail: AuditTrail
    paging: Paging
    origin_policy: OriginPolicy
    console_origin: str | None

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "createPortalSession": Handler(self.create),
            "listPortalSessions": Handler(self.page),
            "revokePortalSession": Handler(self.revoke),
        }

    async def create(self, call: ApiCall) -> web.Response:
        """Make a session and show the URL that opens it: this once."""
        issued = await self.sessions.create(
            call.environment_id,
            _draft(call.fields),
            lambda made: [self.audit_trail.entry_for(call, made.session_id)],
        )
        base = self.console_origin or self.origin_policy.base_url(call.request)
        shown = {
            "session_id": issued.session.session_id,
            "url": f"{base}{PORTAL_PATH}{issued.secret_text}",
            "expires_at": timestamp_of(issued.session.expires_at),
        }
        return json_response(msgspec.json.encode(shown), CREATED)

    async def page(self, call: ApiCall) -> web.Response:
        """Answer with one page of the sessions that have not expired, newest first."""
        limit = self.paging.limit(call)
        # One more than is shown tells whether there is a next page.
        sessions = await self.sessions.page(call.environment_id, limit + 1, self.paging.row(call))
        after = sessions[limit - 1].session_id if len(sessions) > limit else None
        body = msgspec.json.encode([*map(_shown, sessions[:limit])])
        return self.paging.respond(call, body, after)

    async def revoke(self, call: ApiCall) -> web.Response:
        """Revoke a session."""
        session_id = call.parameters.id("session_id")
        records = [self.audit_trail.entry_for(call, session_id)]
        await self.sessions.revoke(call.environment_id, session_id, records)
        return web.Response(status=NO_CONTENT)


def _draft(fields: Mapping[str, object]) -> PortalSessionDraft:
    expires_in = cast("str | None", fields.get("expires_in"))
    return PortalSessionDraft(
        Scope(str(fields["scope"])),
        cast("str | None", fields.get("name")),
        DEFAULT_LENGTH if expires_in is None else parse_duration(expires_in),
    )


def _shown(session: PortalSession) -> Mapping[str, object]:
    name = {} if session.name is None else {"name": session.name}
    return {
        "session_id": session.session_id,
        "scope": session.scope,
        **name,
        "opened": session.code_digest is None,
        "created_at": timestamp_of(session.created_at),
        "expires_at": timestamp_of(session.expires_at),
    }
