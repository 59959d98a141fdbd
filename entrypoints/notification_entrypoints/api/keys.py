"""The operations on the keys that open the API."""

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter, new_api_key, shown_api_key
from notification_core.issuing import Issuing
from notification_core.ports.clock import Clock
from notification_entrypoints.api.answers import CREATED, NO_CONTENT, json_answer
from notification_entrypoints.api.calls import Call
from notification_entrypoints.api.paging import Paging


@frozen
class ApiKeyOperations:
    """Makes, lists and revokes API keys."""

    issuing: Issuing
    converter: ApiConverter
    paging: Paging
    clock: Clock

    async def create(self, call: Call) -> web.Response:
        """Make a key and show it: this once."""
        issued = await self.issuing.create(self.converter.api_key_draft(call.fields))
        shown = new_api_key(issued, self.clock.now())
        return json_answer(self.converter.dump(shown), CREATED)

    async def page(self, call: Call) -> web.Response:
        """Answer with one page of keys, newest first."""
        limit, now = self.paging.limit(call), self.clock.now()
        # One more than is shown tells whether there is a next page.
        keys = await self.issuing.page(limit + 1, self.paging.row(call))
        shown = [shown_api_key(key, now) for key in keys[:limit]]
        after = keys[limit - 1].key_id if len(keys) > limit else None
        return self.paging.answer(call, self.converter.dump(shown), after)

    async def revoke(self, call: Call) -> web.Response:
        """Revoke a key."""
        await self.issuing.revoke(call.parameters.id("key_id"))
        return web.Response(status=NO_CONTENT)
