"""The operations on the webhooks of an environment."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from aiohttp import hdrs, web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_core.errors import Detail
from notification_core.ports.webhooks import WebhookStore
from notification_core.subscriptions import Subscriptions
from notification_entrypoints.api.answers import CREATED, NO_CONTENT, json_answer
from notification_entrypoints.api.calls import Call

# What a draft must have: it stands in for fields that are wrong, so that the others can be judged.
_NOTHING: Mapping[str, object] = {"name": "", "url": "", "events": ()}


@frozen
class WebhookOperations:
    """Lists, creates, reads, replaces and deletes webhooks."""

    subscriptions: Subscriptions
    store: WebhookStore
    converter: ApiConverter

    async def list(self, call: Call) -> web.Response:
        """Answer with all webhooks of an environment."""
        webhooks = await self.subscriptions.list(call.parameters.id("environment_id"))
        return json_answer(self.converter.dump(webhooks))

    async def create(self, call: Call) -> web.Response:
        """Create a webhook."""
        draft = self.converter.draft(call.fields)
        webhook = await self.subscriptions.create(call.parameters.id("environment_id"), draft)
        response = json_answer(self.converter.dump(webhook), CREATED)
        where = call.request.app.router["getWebhook"].url_for(webhook_id=str(webhook.webhook_id))
        response.headers[hdrs.LOCATION] = str(where)
        return response

    async def get(self, call: Call) -> web.Response:
        """Answer with one webhook."""
        webhook = await self.subscriptions.get(*await self._addressed(call))
        return json_answer(self.converter.dump(webhook))

    async def replace(self, call: Call) -> web.Response:
        """Replace a webhook."""
        draft = self.converter.draft(call.fields)
        webhook = await self.subscriptions.replace(*await self._addressed(call), draft)
        return json_answer(self.converter.dump(webhook))

    async def delete(self, call: Call) -> web.Response:
        """Delete a webhook."""
        await self.subscriptions.delete(*await self._addressed(call))
        return web.Response(status=NO_CONTENT)

    def judge(self, fields: Mapping[str, object]) -> Sequence[Detail]:
        """Say what the rules of the product have against fields that the document allows."""
        return self.subscriptions.judge(self.converter.draft({**_NOTHING, **fields}))

    async def _addressed(self, call: Call) -> tuple[UUID, UUID]:
        """Return the environment and the id of the webhook that a path names."""
        webhook_id = call.parameters.id("webhook_id")
        return await self.store.environment_of(webhook_id), webhook_id
