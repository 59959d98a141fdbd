"""The operation that reads a webhook's log, page by page."""

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.ports.logs import LogStore
from notification_core.ports.webhooks import WebhookStore
from notification_entrypoints.api.answers import json_answer, link_next, row_of
from notification_entrypoints.api.calls import Call

_DEFAULT_LIMIT = 50


@frozen
class LogOperations:
    """Reads the attempts that have ended."""

    logs: LogStore
    webhooks: WebhookStore
    converter: ApiConverter

    async def page(self, call: Call) -> web.Response:
        """Answer with one page, newest first, and a link to the next one where there is one."""
        limit = call.parameters.number("limit", _DEFAULT_LIMIT)
        before = row_of(call.parameters.text("cursor"))
        webhook_id = call.parameters.id("webhook_id")
        environment_id = await self.webhooks.environment_of(webhook_id)
        # One more than is shown tells whether there is a next page.
        rows = await self.logs.page(environment_id, webhook_id, limit + 1, before)
        response = json_answer(self.converter.dump(rows[:limit]))
        if len(rows) > limit:
            link_next(response, call.request, rows[limit - 1].log_id)
        return response
