"""The overview of an environment: is it healthy, and if not, where to look."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from notification_entrypoints.console.figures import charts_of
from notification_entrypoints.console.page import open_page
from notification_entrypoints.console.rendering import instant_of
from notification_entrypoints.console.webhook_states import Fields, state_of

routes = web.RouteTableDef()

_SHOWN: Final = 10


@routes.get("/environments/{environment_id}", name="overview")
async def overview(request: web.Request) -> web.StreamResponse:
    """Show how the last day went, and what needs attention."""
    page = await open_page(request)
    statistics, webhooks = await asyncio.gather(
        page.api.call("getEnvironmentStatistics", environment_id=page.environment),
        page.api.call("listWebhooks", environment_id=page.environment),
    )
    states = [(webhook, state_of(webhook, page.now)) for webhook in webhooks.json]
    attention = [(webhook, state) for webhook, state in states if state.reason]
    errors = sorted(
        (webhook for webhook in webhooks.json if "last_errored" in webhook),
        key=lambda webhook: instant_of(webhook["last_errored"]["at"]),
        reverse=True,
    )
    total = statistics.json["total"]
    return page.render(
        "overview.html",
        active="overview",
        total=total,
        charts=charts_of(statistics.json, "deliveries", "delivery_time_ms"),
        webhooks=webhooks.json,
        attention=attention,
        errors=errors[:_SHOWN],
        sentence=sentence_of(total, webhooks.json, attention),
    )


def sentence_of(total: Fields, webhooks: Sequence[Fields], attention: Sequence[object]) -> str:
    """Return in plain words how an environment is."""
    deliveries = total["deliveries"]
    failed, ended = deliveries["failed"], deliveries["failed"] + deliveries["succeeded"]
    if not webhooks:
        return "There are no webhooks yet, so nothing is delivered."
    if not ended:
        first = "Nothing was delivered in the last day."
    elif not failed:
        first = "All deliveries of the last day succeeded."
    else:
        first = f"{failed:,} of {ended:,} deliveries of the last day failed."
    if not attention:
        return f"{first} No webhook needs attention."
    subject = "1 webhook needs" if len(attention) == 1 else f"{len(attention):,} webhooks need"
    return f"{first} {subject} attention."
