"""A webhook: its health, its charts, its deliveries, and what may be done with it."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.console.figures import charts_of
from notification_entrypoints.console.forms import key_of, refused_by, sent_form, text_of
from notification_entrypoints.console.page import ConsolePage, id_in, open_page
from notification_entrypoints.console.phases import phase_figures
from notification_entrypoints.console.rendering import since_choices
from notification_entrypoints.console.subjects import webhook_of
from notification_entrypoints.console.webhook_states import REASONS, WHAT_TO_DO, state_of

routes = web.RouteTableDef()

_PATH: Final = "/environments/{environment_id}/webhooks/{webhook_id}"
_FOREVER: Final = "9999-12-31T23:59:59Z"
BUCKETS: Final = {"minute": "last hour", "hour": "last 24 hours", "day": "last 30 days"}
"""The periods of charts, by how much time each bar covers."""

FILTERS: Final = ("state", "event", "http_code", "since", "until", "cursor")
"""What a list of deliveries is narrowed by, as the API names it."""


@routes.get(_PATH, name="webhook")
async def webhook(request: web.Request) -> web.StreamResponse:
    """Show a webhook, and its deliveries by the filters of the URL."""
    return await _show(await open_page(request))


async def _show(page: ConsolePage, *, status: int = 200, **context: Any) -> web.Response:
    found = await webhook_of(page)
    webhook_id, query = found.json["webhook_id"], page.request.query
    bucket = query.get("bucket", "hour")
    filters = {name: query.get(name, "") for name in FILTERS}
    statistics, deliveries, event_types = await asyncio.gather(
        page.api.call("getWebhookStatistics", webhook_id=webhook_id, query={"bucket": bucket}),
        page.api.call("listDeliveries", webhook_id=webhook_id, query={**filters, "limit": 25}),
        page.api.call("listEventTypes"),
    )
    tested = query.get("tested")
    return page.render(
        "webhook.html",
        status=status,
        active="webhooks",
        webhook=found.json,
        state=state_of(found.json, page.now),
        total=statistics.json["total"],
        charts=charts_of(statistics.json, "attempts", "attempt_duration_ms"),
        bucket=bucket,
        buckets=BUCKETS,
        deliveries=deliveries.json,
        next_cursor=deliveries.next_cursor,
        filters=filters,
        since_choices=since_choices(page.now),
        event_types=[known["name"] for known in event_types.json],
        tested=await _tested(page, tested) if tested else None,
        phase_figures=phase_figures,
        reasons=REASONS,
        what_to_do=WHAT_TO_DO,
        done=query.get("done", ""),
        **{"errors": {}, **context},
    )


async def _tested(page: ConsolePage, delivery_id: str) -> Mapping[str, Any]:
    found = await page.api.call("getDelivery", delivery_id=id_in(delivery_id))
    fields: Mapping[str, Any] = found.json
    return fields


@routes.post(f"{_PATH}/test", name="test_webhook")
async def send_test(request: web.Request) -> web.StreamResponse:
    """Send an example now, and show how that went."""
    page, form = await open_page(request), await sent_form(request)
    found = await webhook_of(page)
    event = text_of(form, "event")
    try:
        attempt = await page.api.call(
            "testWebhook",
            {"event": event} if event else {},
            webhook_id=found.json["webhook_id"],
            idempotency_key=key_of(form),
        )
    except RequestRefused as refusal:
        return await _show(page, **refused_by(refusal))
    return page.redirect(
        "webhook",
        {"tested": attempt.json["delivery_id"]},
        webhook_id=found.json["webhook_id"],
    )


@routes.post(f"{_PATH}/enable", name="enable_webhook")
async def enable(request: web.Request) -> web.StreamResponse:
    """Enable a webhook."""
    return await _change(await open_page(request), {"disabled_until": None}, "enabled")


@routes.post(f"{_PATH}/disable", name="disable_webhook")
async def disable(request: web.Request) -> web.StreamResponse:
    """Disable a webhook, for as many hours as are given, else until it is enabled."""
    page, form = await open_page(request), await sent_form(request)
    hours, until = text_of(form, "hours"), _FOREVER
    if hours.isdecimal() and 0 < int(hours) <= 24 * 365:
        until = f"{page.now + timedelta(hours=int(hours)):%Y-%m-%dT%H:%M:%SZ}"
    return await _change(page, {"disabled_until": until}, "disabled")


async def _change(page: ConsolePage, fields: Mapping[str, object], done: str) -> web.Response:
    found = await webhook_of(page)
    webhook_id = found.json["webhook_id"]
    await page.api.call("changeWebhook", fields, webhook_id=webhook_id)
    return page.redirect("webhook", {"done": done}, webhook_id=webhook_id)


@routes.post(f"{_PATH}/delete", name="delete_webhook")
async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a webhook whose name was typed."""
    page, form = await open_page(request), await sent_form(request)
    found = await webhook_of(page)
    if text_of(form, "confirm") != found.json["name"].strip():
        wrong = {"confirm": ["This is not the name of the webhook. Type it as it stands above."]}
        return await _show(page, status=400, errors=wrong)
    await page.api.call("deleteWebhook", webhook_id=found.json["webhook_id"])
    return page.redirect("webhooks")
