"""The webhooks of an environment: how each of them does, at a glance."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from attrs import frozen
from markupsafe import Markup

from notification_entrypoints.console.charts import stacked_bars
from notification_entrypoints.console.figures import bars_of
from notification_entrypoints.console.page import ConsolePage, open_page
from notification_entrypoints.console.webhook_states import Fields, WebhookState, state_of

routes = web.RouteTableDef()

SHOWN: Final = 25
"""How many webhooks a page has: each is shown with a chart of its own."""


@frozen
class WebhookLine:
    """A webhook as a line of the list."""

    webhook: Fields
    state: WebhookState
    chart: Markup
    total: Fields


@routes.get("/environments/{environment_id}/webhooks", name="webhooks")
async def webhooks(request: web.Request) -> web.StreamResponse:
    """List the webhooks: by ``q`` those with this in name or URL, by ``state`` those that are so.

    ``from`` is how many come before the page: the API gives the webhooks whole.
    """
    page = await open_page(request)
    listed = await page.api.call("listWebhooks", environment_id=page.environment)
    query, state = request.query.get("q", "").strip(), request.query.get("state", "")
    start = int(text) if (text := request.query.get("from", "")).isdecimal() else 0
    all_states = [(webhook, state_of(webhook, page.now)) for webhook in listed.json]
    matching = [
        (webhook, found)
        for webhook, found in all_states
        if query.lower() in f"{webhook['name']} {webhook['url']} {webhook['webhook_id']}".lower()
    ]
    counts = Counter(found.word for _, found in matching)
    chosen = [pair for pair in matching if state in {"", pair[1].word}]
    return page.render(
        "webhooks.html",
        active="webhooks",
        lines=await _lines(page, chosen[start : start + SHOWN]),
        total=len(listed.json),
        count=len(chosen),
        counts=counts,
        matching=len(matching),
        query=query,
        state=state,
        start=start,
        shown=SHOWN,
    )


async def _lines(
    page: ConsolePage, chosen: Sequence[tuple[Fields, WebhookState]]
) -> Sequence[WebhookLine]:
    """Return the lines of some webhooks, each with what it did in the last day."""
    statistics = await asyncio.gather(
        *(
            page.api.call("getWebhookStatistics", webhook_id=webhook["webhook_id"])
            for webhook, _ in chosen
        )
    )
    return [
        WebhookLine(
            webhook,
            state,
            stacked_bars(
                f"Attempts of {webhook['name']} by hour", bars_of(found.json, "attempts"), "spark"
            ),
            found.json["total"],
        )
        for (webhook, state), found in zip(chosen, statistics, strict=True)
    ]
