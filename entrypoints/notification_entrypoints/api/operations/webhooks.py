"""The operations on the webhooks of an environment."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from aiohttp import hdrs, web
from attrs import frozen

from notification_adapters.converters import ApiConverter, ShownWebhook
from notification_core.errors import Detail
from notification_core.model.caller import Scope
from notification_core.model.read_models import Activity
from notification_core.model.request_records import RequestRecords
from notification_core.model.webhook import Webhook
from notification_core.ports.logs import LogStore
from notification_core.webhooks.webhooks import WebhookDraft, WebhookService
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.endpoint import ApiCall, check_fields
from notification_entrypoints.api.http.etags import (
    expected_versions,
    is_known,
    put_tag,
    tag_of,
)
from notification_entrypoints.api.http.merge_patch import merged
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.openapi.document import Schema
from notification_entrypoints.api.responses import (
    CREATED,
    NO_CONTENT,
    NOT_MODIFIED,
    OK,
    json_answer,
)

# What a draft must have: it stands in for fields that are wrong, so that the others can be judged.
_NONE = Activity()
_NOTHING: Mapping[str, object] = {"name": "", "url": "", "events": ()}


@frozen
class WebhookOperations:
    """Lists, creates, reads, replaces, changes and deletes webhooks.

    ``written`` is the schema of a webhook as customers write it.
    """

    subscriptions: WebhookService
    idempotency: Idempotency
    auditing: AuditTrail
    logs: LogStore
    converter: ApiConverter
    written: Schema

    async def list(self, call: ApiCall) -> web.Response:
        """Answer with all webhooks of an environment."""
        webhooks = await self.subscriptions.list(call.environment_id)
        activity = await self.logs.activity(call.environment_id)
        to_writer = call.caller.may(Scope.WRITE)
        shown = [
            ShownWebhook(one, activity.get(one.webhook_id, _NONE), to_writer) for one in webhooks
        ]
        return json_answer(self.converter.dump(shown))

    async def create(self, call: ApiCall) -> web.Response:
        """Create a webhook."""
        draft = self.converter.draft(call.fields)
        environment_id = call.environment_id

        def created(webhook: Webhook) -> web.Response:
            response = self._answer(call, webhook, _NONE, CREATED)
            route = call.request.app.router["getWebhook"]
            where = route.url_for(webhook_id=str(webhook.webhook_id))
            response.headers[hdrs.LOCATION] = str(where)
            return response

        return await self.idempotency.once(
            call,
            environment_id,
            lambda keep: self.subscriptions.create(environment_id, draft, keep),
            created,
            lambda webhook: webhook.webhook_id,
        )

    async def get(self, call: ApiCall) -> web.Response:
        """Answer with one webhook, or that the caller has it already."""
        webhook = await self.subscriptions.get(*_addressed(call))
        activity = await self._activity(webhook)
        tag = tag_of(webhook.version, activity)
        if is_known(call.request, tag):
            response = web.Response(status=NOT_MODIFIED)
            put_tag(response, tag)
            return response
        return self._answer(call, webhook, activity)

    async def replace(self, call: ApiCall) -> web.Response:
        """Replace a webhook."""
        draft = self.converter.draft(call.fields)
        expected = expected_versions(call.request)
        changed = await self.subscriptions.replace(
            *_addressed(call), draft, expected, self._audited(call)
        )
        return await self._shown(call, changed)

    async def patch(self, call: ApiCall) -> web.Response:
        """Change some fields of a webhook."""

        def redraft(stored: Webhook) -> WebhookDraft:
            fields = merged(self.converter.fields(stored), call.fields, self.written.fields)
            check_fields(fields, self.written, self.judge)
            return self.converter.draft(fields)

        expected = expected_versions(call.request)
        changed = await self.subscriptions.change(
            *_addressed(call), redraft, expected, self._audited(call)
        )
        return await self._shown(call, changed)

    async def delete(self, call: ApiCall) -> web.Response:
        """Delete a webhook."""
        expected = expected_versions(call.request)
        await self.subscriptions.delete(*_addressed(call), expected, self._audited(call))
        return web.Response(status=NO_CONTENT)

    def judge(self, fields: Mapping[str, object]) -> Sequence[Detail]:
        """Say what the rules of the product have against fields that the document allows."""
        return self.subscriptions.judge(self.converter.draft({**_NOTHING, **fields}))

    def _audited(self, call: ApiCall) -> RequestRecords:
        return [self.auditing.entry(call, call.parameters.id("webhook_id"))]

    async def _shown(self, call: ApiCall, webhook: Webhook) -> web.Response:
        return self._answer(call, webhook, await self._activity(webhook))

    async def _activity(self, webhook: Webhook) -> Activity:
        told = await self.logs.activity(webhook.environment_id, webhook.webhook_id)
        return told.get(webhook.webhook_id, _NONE)

    def _answer(
        self, call: ApiCall, webhook: Webhook, activity: Activity, status: int = OK
    ) -> web.Response:
        shown = ShownWebhook(webhook, activity, call.caller.may(Scope.WRITE))
        response = json_answer(self.converter.dump(shown), status)
        put_tag(response, tag_of(webhook.version, activity))
        return response


def _addressed(call: ApiCall) -> tuple[UUID, UUID]:
    """Return the environment and the id of the webhook that a path names."""
    return call.environment_id, call.parameters.id("webhook_id")
