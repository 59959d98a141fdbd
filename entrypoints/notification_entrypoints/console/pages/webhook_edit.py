"""Creating and changing a webhook: a form with errors at the field."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import hdrs, web

from notification_core.errors import Detail
from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.config.policies import delivery_rules
from notification_entrypoints.console.api import ApiResult
from notification_entrypoints.console.forms import (
    errors_by_field,
    key_of,
    refused_by,
    sent_form,
    text_of,
)
from notification_entrypoints.console.keys import APPLICATION
from notification_entrypoints.console.page import ConsolePage, open_page
from notification_entrypoints.console.retry_schedule import retry_schedule
from notification_entrypoints.console.subjects import webhook_of
from notification_entrypoints.console.webhook_form import METHODS, WHOLE, WebhookForm
from notification_entrypoints.console.webhook_states import state_of

routes = web.RouteTableDef()

_NEW = "/environments/{environment_id}/webhooks/new"
_EDIT = "/environments/{environment_id}/webhooks/{webhook_id}/edit"
_BAD_REQUEST = 400


@routes.get(_NEW, name="new_webhook")
async def new(request: web.Request) -> web.StreamResponse:
    """Show an empty form."""
    return await _show(await open_page(request), WebhookForm())


@routes.post(_NEW)
async def create(request: web.Request) -> web.StreamResponse:
    """Create a webhook, or show the form again with what is wrong."""
    page, sent = await open_page(request), await sent_form(request)
    form = WebhookForm.sent(sent)
    if sent.get("action") == "preview":
        return await _show(page, form)
    fields, details = form.fields()
    if details:
        return await _refused(page, form, details)
    try:
        made = await page.api.call(
            "createWebhook",
            fields,
            environment_id=page.environment,
            idempotency_key=key_of(sent),
        )
    except RequestRefused as refusal:
        return await _show(page, form, refusal=refusal)
    return page.redirect("webhook", {"done": "created"}, webhook_id=made.json["webhook_id"])


@routes.get(_EDIT, name="edit_webhook")
async def edit(request: web.Request) -> web.StreamResponse:
    """Show the form of a webhook."""
    page = await open_page(request)
    webhook = await webhook_of(page)
    return await _show(page, WebhookForm.of(webhook.json), webhook)


@routes.post(_EDIT)
async def change(request: web.Request) -> web.StreamResponse:
    """Change a webhook, or try its filter, or show the form again with what is wrong."""
    page, sent = await open_page(request), await sent_form(request)
    webhook = await webhook_of(page)
    form, action = WebhookForm.sent(sent), sent.get("action")
    fields, details = form.fields(webhook.json)
    if action == "preview":
        return await _show(page, form, webhook)
    if details:
        return await _refused(page, form, details, webhook)
    try:
        if action == "try":
            return await _try(page, form, webhook, fields)
        await page.api.call(
            "replaceWebhook",
            fields,
            webhook_id=webhook.json["webhook_id"],
            if_match=text_of(sent, "etag") or None,
        )
    except RequestRefused as refusal:
        return await _show(page, form, webhook, refusal=refusal)
    return page.redirect("webhook", {"done": "changed"}, webhook_id=webhook.json["webhook_id"])


async def _try(
    page: ConsolePage, form: WebhookForm, webhook: ApiResult, fields: Mapping[str, Any]
) -> web.Response:
    """Show which of the latest events the filter in the form would let through."""
    trial = await page.api.call(
        "tryFilter",
        {"filter": fields.get("filter", {})},
        webhook_id=webhook.json["webhook_id"],
    )
    return await _show(page, form, webhook, trial=trial.json)


async def _refused(
    page: ConsolePage,
    form: WebhookForm,
    details: Sequence[Detail],
    webhook: ApiResult | None = None,
) -> web.Response:
    return await _show(
        page, form, webhook, errors=errors_by_field(details, WHOLE), status=_BAD_REQUEST
    )


async def _show(
    page: ConsolePage,
    form: WebhookForm,
    webhook: ApiResult | None = None,
    *,
    refusal: RequestRefused | None = None,
    status: int = 200,
    **context: Any,
) -> web.Response:
    settings = page.request.app[APPLICATION].settings
    event_types = await page.api.call("listEventTypes")
    if refusal is not None:
        context |= refused_by(refusal, WHOLE)
    known = {each["name"] for each in event_types.json}
    rules = delivery_rules(settings)
    response = page.render(
        "webhook_edit.html",
        active="webhooks",
        form=form,
        webhook=webhook.json if webhook else None,
        state=state_of(webhook.json, page.now) if webhook else None,
        # What the form was filled in for, also when it comes back with errors.
        etag=webhook.etag if webhook else "",
        event_types=event_types.json,
        unknown_events=[name for name in form.events if name not in known],
        methods=METHODS,
        defaults=rules.retries,
        timeout=rules.timeout,
        schedule=retry_schedule(rules.retries, form.retry),
        **{"status": status, "errors": {}, "trial": None, **context},
    )
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    return response
