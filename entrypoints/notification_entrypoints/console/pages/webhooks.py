"""The webhooks of an environment: how each of them does, at a glance."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from aiohttp import web
from attrs import frozen
from markupsafe import Markup

from notification_core.model.delivery import AttemptOutcome
from notification_core.model.statistics import (
    BucketSize,
    Counts,
    Percentiles,
    Period,
    choose_period,
)
from notification_core.ports.statistics import WebhookSummary
from notification_entrypoints.console.charts import Bar, stacked_bars
from notification_entrypoints.console.figures import label_of
from notification_entrypoints.console.keys import APPLICATION
from notification_entrypoints.console.page import ConsolePage, open_page
from notification_entrypoints.console.webhook_states import Fields, WebhookState, state_of

routes = web.RouteTableDef()

SHOWN: Final = 25
"""How many webhooks a page has: each is shown with a chart of its own."""

_MILLISECOND: Final = timedelta(milliseconds=1)


@frozen
class WebhookLine:
    """A webhook as a line of the list."""

    webhook: Fields
    state: WebhookState
    chart: Markup
    attempts: Mapping[str, int]
    p95: float | None
    """The 95th percentile of how long attempts took, in milliseconds."""


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
    """Return the lines of some webhooks, each with what it did in the last day.

    The API has statistics of one webhook or of all together, so these are read from the storage, at
    once: the caller may read them, since the API has just listed these webhooks.
    """
    period = choose_period(BucketSize.HOUR, None, None, page.now)
    store = page.request.app[APPLICATION].storage.statistics
    webhook_ids = [UUID(webhook["webhook_id"]) for webhook, _ in chosen]
    counted = await store.summarize(page.environment, webhook_ids, period)
    nothing = WebhookSummary(Counts(), {})
    return await asyncio.to_thread(
        lambda: [
            _line(webhook, state, counted.get(webhook_id, nothing), period)
            for webhook_id, (webhook, state) in zip(webhook_ids, chosen, strict=True)
        ]
    )


def _line(
    webhook: Fields, state: WebhookState, counted: WebhookSummary, period: Period
) -> WebhookLine:
    none: Mapping[AttemptOutcome, int] = {}
    bars = [
        Bar(label_of(start, period.span), _by_outcome(counted.attempts.get(start, none)))
        for start in period.starts
    ]
    percentiles = Percentiles.of(counted.total.durations)
    return WebhookLine(
        webhook,
        state,
        stacked_bars(f"Attempts of {webhook['name']} by hour", bars, "spark"),
        _by_outcome(counted.total.attempts),
        None if percentiles is None else percentiles.p95 / _MILLISECOND,
    )


def _by_outcome(attempts: Mapping[AttemptOutcome, int]) -> Mapping[str, int]:
    """Return how many attempts ended in each way, those in which none did too."""
    return {outcome: attempts.get(outcome, 0) for outcome in AttemptOutcome}
