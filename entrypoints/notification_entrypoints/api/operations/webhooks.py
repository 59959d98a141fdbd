"""The operations on the webhooks of an environment."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import cast
from uuid import UUID

from aiohttp import hdrs, web
from attrs import evolve, frozen

from notification_adapters.converters import ApiConverter, ShownWebhook, filter_text
from notification_core.errors import Detail, InvalidFilter, WebhookNotFound
from notification_core.model.caller import Scope
from notification_core.model.delivery import Attempt
from notification_core.model.read_models import Activity, WebhookView
from notification_core.model.request_records import RequestRecords
from notification_core.model.webhook import Webhook
from notification_core.ports.logs import LogStore
from notification_core.webhooks.filter_trials import FilterTrials
from notification_core.webhooks.webhook_tester import WebhookTester
from notification_core.webhooks.webhooks import WebhookDraft, WebhookService
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.endpoint import (
    CREATED,
    NO_CONTENT,
    NOT_MODIFIED,
    OK,
    ApiCall,
    Handler,
    check_fields,
    json_response,
)
from notification_entrypoints.api.http.etags import (
    expected_versions,
    is_known,
    put_tag,
    tag_of,
)
from notification_entrypoints.api.http.merge_patch import merged
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.openapi.document import Schema
from notification_entrypoints.api.problems import Problem, RequestRefused

_TRIED_BY_DEFAULT = 20
# What a draft must have: it stands in for fields that are wrong, so that the others can be checked.
_NOTHING: Mapping[str, object] = {"name": "", "url": "", "events": ()}


@frozen
class WebhookOperations:
    """Lists, creates, reads, replaces, changes, deletes and tests webhooks.

    ``written`` is the schema of a webhook as customers write it.
    """

    subscriptions: WebhookService
    tester: WebhookTester
    filter_trials: FilterTrials
    idempotency: Idempotency
    audit_trail: AuditTrail
    logs: LogStore
    converter: ApiConverter
    written: Schema

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "listWebhooks": Handler(self.list),
            "createWebhook": Handler(self.create, validate=self.validate),
            "getWebhook": Handler(self.get),
            "replaceWebhook": Handler(self.replace, validate=self.validate_replacement),
            "changeWebhook": Handler(self.patch, is_merge_patch=True),
            "deleteWebhook": Handler(self.delete),
            "tryFilter": Handler(self.try_filter),
            "testWebhook": Handler(self.test, extra_timeout=self.tester.longest),
        }

    async def list(self, call: ApiCall) -> web.Response:
        """Answer with all webhooks of an environment."""
        views = await self.logs.webhooks(call.environment_id)
        return json_response(self.converter.dump([self._shown(call, view) for view in views]))

    async def create(self, call: ApiCall) -> web.Response:
        """Create a webhook."""
        draft = self.converter.draft(call.fields)

        def render(webhook: Webhook) -> web.Response:
            response = self._render(call, WebhookView(webhook, Activity()), CREATED)
            where = call.path_of("getWebhook", webhook_id=webhook.webhook_id)
            response.headers[hdrs.LOCATION] = where
            return response

        return await self.idempotency.respond_once(
            call,
            lambda records: self.subscriptions.create(call.environment_id, draft, records),
            render,
            lambda webhook: webhook.webhook_id,
        )

    async def get(self, call: ApiCall) -> web.Response:
        """Answer with one webhook, or that the caller has it already."""
        environment_id, webhook_id = _addressed(call)
        views = await self.logs.webhooks(environment_id, webhook_id)
        if not views:
            raise WebhookNotFound(webhook_id)
        tag = tag_of(views[0])
        if is_known(call.head.headers, tag):
            response = web.Response(status=NOT_MODIFIED)
            put_tag(response, tag)
            return response
        return self._render(call, views[0])

    async def replace(self, call: ApiCall) -> web.Response:
        """Replace a webhook."""
        draft = self.converter.draft(call.fields)
        expected = expected_versions(call.head.headers)
        webhook = await self.subscriptions.replace(
            *_addressed(call), draft, expected, self._records(call)
        )
        return await self._render_changed(call, webhook)

    async def patch(self, call: ApiCall) -> web.Response:
        """Change some fields of a webhook."""

        def redraft(stored: Webhook) -> WebhookDraft:
            fields = merged(self.converter.fields(stored), call.fields, self.written.fields)
            validate = partial(self.validate, stored.environment_id, stored_events=stored.events)
            check_fields(fields, self.written, validate)
            return self.converter.draft(fields)

        expected = expected_versions(call.head.headers)
        webhook = await self.subscriptions.change(
            *_addressed(call), redraft, expected, self._records(call)
        )
        return await self._render_changed(call, webhook)

    async def delete(self, call: ApiCall) -> web.Response:
        """Delete a webhook."""
        expected = expected_versions(call.head.headers)
        await self.subscriptions.delete(*_addressed(call), expected, self._records(call))
        return web.Response(status=NO_CONTENT)

    async def test(self, call: ApiCall) -> web.Response:
        """Send an example to a webhook, and answer with the attempt."""
        environment_id, webhook_id = _addressed(call)
        event_type = cast("str | None", call.fields.get("event"))

        def render(attempt: Attempt) -> web.Response:
            return json_response(self.converter.dump(attempt))

        return await self.idempotency.respond_once(
            call,
            lambda records: self.tester.send(environment_id, webhook_id, event_type, records),
            render,
            lambda _: webhook_id,
        )

    async def try_filter(self, call: ApiCall) -> web.Response:
        """Return which of the latest events a filter would let through."""
        text = filter_text(call.fields["filter"])
        most = cast("int", call.fields.get("limit", _TRIED_BY_DEFAULT))
        try:
            trial = await self.filter_trials.run(*_addressed(call), text, most)
        except InvalidFilter as refused:
            raise RequestRefused(Problem.INVALID_BODY, details=refused.details) from refused
        return json_response(self.converter.dump(trial))

    def validate(
        self,
        environment_id: UUID | None,
        fields: Mapping[str, object],
        stored_events: Collection[str] = (),
    ) -> Sequence[Detail]:
        """Say what the rules of the product have against fields that the document allows."""
        assert environment_id is not None  # noqa: S101 - for the type checker only
        draft = self.converter.draft({**_NOTHING, **fields})
        return self.subscriptions.validate(environment_id, draft, stored_events)

    def validate_replacement(
        self, environment_id: UUID | None, fields: Mapping[str, object]
    ) -> Sequence[Detail]:
        """Say the same of a webhook that is stored; which types it may keep is seen there."""
        events = cast("Collection[str]", fields.get("events", ()))
        return self.validate(environment_id, fields, events)

    def _records(self, call: ApiCall) -> RequestRecords:
        return [self.audit_trail.entry_for(call, call.parameters.id("webhook_id"))]

    async def _render_changed(self, call: ApiCall, webhook: Webhook) -> web.Response:
        """Return a response with a webhook as this call has left it."""
        views = await self.logs.webhooks(*_addressed(call))
        shown = evolve(views[0], webhook=webhook) if views else WebhookView(webhook, Activity())
        return self._render(call, shown)

    def _render(self, call: ApiCall, view: WebhookView, status: int = OK) -> web.Response:
        response = json_response(self.converter.dump(self._shown(call, view)), status)
        put_tag(response, tag_of(view))
        return response

    def _shown(self, call: ApiCall, view: WebhookView) -> ShownWebhook:
        unknown = self.subscriptions.unknown_events(view.webhook)
        return ShownWebhook(view, unknown, Scope.WRITE in call.caller.scopes)


def _addressed(call: ApiCall) -> tuple[UUID, UUID]:
    """Return the environment and the id of the webhook that a path names."""
    return call.environment_id, call.parameters.id("webhook_id")
