"""The operations on the keys that open the API."""

from collections.abc import Mapping

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter, new_api_key, shown_api_key
from notification_core.access.api_keys import ApiKeyService
from notification_core.ports.clock import Clock
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.endpoint import (
    CREATED,
    NO_CONTENT,
    ApiCall,
    Handler,
    json_response,
)
from notification_entrypoints.api.paging import Paging


@frozen
class ApiKeyOperations:
    """Makes, lists and revokes API keys."""

    issuing: ApiKeyService
    audit_trail: AuditTrail
    converter: ApiConverter
    paging: Paging
    clock: Clock

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "createApiKey": Handler(self.create),
            "listApiKeys": Handler(self.page),
            "revokeApiKey": Handler(self.revoke),
        }

    async def create(self, call: ApiCall) -> web.Response:
        """Make a key and show it: this once."""
        draft = self.converter.api_key_draft(call.fields)
        issued = await self.issuing.create(
            draft, lambda made: [self.audit_trail.entry_for(call, made.key.key_id)]
        )
        shown = new_api_key(issued, self.clock.now())
        return json_response(self.converter.dump(shown), CREATED)

    async def page(self, call: ApiCall) -> web.Response:
        """Answer with one page of keys, newest first."""
        limit, now = self.paging.limit(call), self.clock.now()
        # One more than is shown tells whether there is a next page.
        keys = await self.issuing.page(limit + 1, self.paging.row(call))
        shown = [shown_api_key(key, now) for key in keys[:limit]]
        after = keys[limit - 1].key_id if len(keys) > limit else None
        return self.paging.respond(call, self.converter.dump(shown), after)

    async def revoke(self, call: ApiCall) -> web.Response:
        """Revoke a key."""
        key_id = call.parameters.id("key_id")
        await self.issuing.revoke(key_id, [self.audit_trail.entry_for(call, key_id)])
        return web.Response(status=NO_CONTENT)
