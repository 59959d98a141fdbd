"""Events: finding one, why it did not arrive, and publishing an example."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.console.forms import key_of, refused_by, sent_form, text_of
from notification_entrypoints.console.json_view import json_view
from notification_entrypoints.console.outcomes import Outcome, outcome_at
from notification_entrypoints.console.page import ConsolePage, open_page
from notification_entrypoints.console.rendering import pretty, since_choices
from notification_entrypoints.console.webhook_states import Fields

routes = web.RouteTableDef()

_PATH: Final = "/environments/{environment_id}/events"
_PUBLISH: Final = "/environments/{environment_id}/publish"
_FILTERS: Final = ("event", "since", "until", "cursor")
_WITH_ATTEMPTS: Final = 8
"""Of how many deliveries of an event the attempts are shown at once."""


@routes.get(_PATH, name="events")
async def events(request: web.Request) -> web.StreamResponse:
    """List the events by the filters of the URL; ``id`` opens one."""
    page = await open_page(request)
    query = request.query
    if event_id := query.get("id", "").strip():
        return page.redirect("event", event_id=event_id)
    filters = {name: query.get(name, "") for name in _FILTERS}
    listed, types = await asyncio.gather(
        page.api.call(
            "listEvents", environment_id=page.environment, query={**filters, "limit": 50}
        ),
        page.api.call("listEventTypes"),
    )
    return page.render(
        "events.html",
        active="events",
        events=listed.json,
        next_cursor=listed.next_cursor,
        filters=filters,
        is_filtered=any(filters.values()),
        event_types=[known["name"] for known in types.json],
        since_choices=since_choices(page.now),
    )


@routes.get(_PUBLISH, name="publish_event")
async def example(request: web.Request) -> web.StreamResponse:
    """Show the form that publishes an event, filled with the example of its type."""
    return await _form(await open_page(request), request.query.get("type", ""))


@routes.post(_PUBLISH)
async def publish(request: web.Request) -> web.StreamResponse:
    """Publish an event, and show its delivery status."""
    page, form = await open_page(request), await sent_form(request)
    name, data = text_of(form, "event"), text_of(form, "data")
    try:
        event: dict[str, Any] = {"event": name, "data": msgspec.json.decode(data)}
    except msgspec.DecodeError as error:
        wrong = {"data": [f"This is not JSON: {error}."]}
        return await _form(page, name, data, status=400, errors=wrong)
    for optional in ("event_id", "ordering_key"):
        if text := text_of(form, optional):
            event[optional] = text
    try:
        made = await page.api.call(
            "publishEvents",
            event,
            environment_id=page.environment,
            idempotency_key=key_of(form),
        )
    except RequestRefused as refusal:
        return await _form(page, name, data, **refused_by(refusal, ("data",)))
    return page.redirect("event", event_id=made.json["event_id"])


async def _form(
    page: ConsolePage,
    name: str,
    data: str | None = None,
    *,
    status: int = 200,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> web.Response:
    types = {each["name"]: each for each in (await page.api.call("listEventTypes")).json}
    chosen = types.get(name) or next(iter(types.values()))
    if data is None:
        data = pretty(chosen["example"])
    return page.render(
        "event_publish.html",
        status=status,
        active="events",
        types=[*types],
        chosen=chosen,
        data=data,
        errors=errors or {},
    )


@routes.get(f"{_PATH}/{{event_id:[^/]+}}", name="event")
async def event(request: web.Request) -> web.StreamResponse:
    """Show an event, and its delivery status at every webhook."""
    page = await open_page(request)
    event_id = request.match_info["event_id"]
    found, webhooks = await asyncio.gather(
        page.api.call(
            "getEvent",
            environment_id=page.environment,
            event_id=event_id,
            query={"limit": 100, "cursor": request.query.get("cursor")},
        ),
        page.api.call("listWebhooks", environment_id=page.environment),
    )
    outcomes = _outcomes(page, found.json, webhooks.json)
    shown = [outcome for outcome in outcomes if outcome.delivery][:_WITH_ATTEMPTS]
    deliveries = await asyncio.gather(
        *(
            page.api.call("getDelivery", delivery_id=outcome.delivery["delivery_id"])
            for outcome in shown
            if outcome.delivery
        )
    )
    body = await event_body(page, event_id)
    return page.render(
        "event.html",
        active="events",
        event=found.json,
        outcomes=outcomes,
        attempts={each.json["delivery_id"]: each.json["attempts"] for each in deliveries},
        body=body,
        tree=json_view(body) if body else None,
        next_cursor=found.next_cursor,
    )


def _outcomes(page: ConsolePage, event: Fields, webhooks: Sequence[Fields]) -> Sequence[Outcome]:
    """Return an event's delivery status at each webhook: first what did not arrive."""
    by_webhook: dict[str, list[Fields]] = defaultdict(list)
    for delivery in event["deliveries"]:
        by_webhook[delivery["webhook_id"]].append(delivery)
    deleted = {"name": "a deleted webhook", "health": {"state": "healthy"}}
    known = {webhook["webhook_id"] for webhook in webhooks}
    all_webhooks = [
        *webhooks,
        *({**deleted, "webhook_id": other} for other in by_webhook if other not in known),
    ]
    outcomes = [
        outcome_at(webhook, event, by_webhook[webhook["webhook_id"]], page.now)
        for webhook in all_webhooks
    ]
    order = ("failed", "retrying", "pending", "cancelled", "skipped", "succeeded", "not sent")
    return sorted(outcomes, key=lambda outcome: order.index(outcome.state))


async def event_body(page: ConsolePage, event_id: str) -> str | None:
    """Return the body that an event's webhooks are sent, None if it is not stored."""
    try:
        return await page.api.text(
            "getEventBody", environment_id=page.environment, event_id=event_id
        )
    except RequestRefused as refusal:
        if refusal.problem in {Problem.EVENT_GONE, Problem.EVENT_NOT_FOUND}:
            return None
        raise
