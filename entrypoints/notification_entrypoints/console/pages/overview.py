"""The overview of an environment: is it healthy, and if not, where to look."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from attrs import frozen

from notification_entrypoints.console.charts import Bar, line, stacked_bars
from notification_entrypoints.console.page import open_page
from notification_entrypoints.console.rendering import NOTHING, instant_of, milliseconds

routes = web.RouteTableDef()

_SHOWN: Final = 10
_Fields = Mapping[str, Any]


@frozen
class Attention:
    """A webhook that somebody should look at: its state in a word, and why in a sentence."""

    webhook: _Fields
    state: str
    reason: str
    since: str | None


@routes.get("/environments/{environment_id}", name="overview")
async def overview(request: web.Request) -> web.StreamResponse:
    """Show how the last day went, and what needs attention."""
    page = await open_page(request)
    statistics, webhooks = await asyncio.gather(
        page.api.call(
            "getEnvironmentStatistics",
            environment_id=page.environment,
            query={"bucket": "hour"},
        ),
        page.api.call("listWebhooks", environment_id=page.environment),
    )
    attention = [found for webhook in webhooks.json if (found := attention_of(webhook))]
    errors = sorted(
        (webhook for webhook in webhooks.json if "last_errored" in webhook),
        key=lambda webhook: instant_of(webhook["last_errored"]["at"]),
        reverse=True,
    )
    return page.render(
        "overview.html",
        active="overview",
        total=statistics.json["total"],
        charts=charts_of(statistics.json),
        webhooks=webhooks.json,
        attention=attention,
        errors=errors[:_SHOWN],
        sentence=sentence_of(statistics.json["total"], webhooks.json, attention),
    )


def attention_of(webhook: _Fields) -> Attention | None:
    """Return why somebody should look at a webhook; None if nobody needs to."""
    health = webhook["health"]
    if reason := webhook.get("disabled_reason"):
        why = {
            "gone": "The receiver responded with 410 Gone. Enable it once the URL is right.",
            "failing": "Every attempt failed for days. Enable it once the receiver works again.",
        }
        return Attention(webhook, "disabled", why[reason], webhook["updated_at"])
    if health["state"] == "paused":
        why_paused = "Deliveries wait without using retries; one at a time is tried."
        return Attention(webhook, "paused", why_paused, health.get("since"))
    if health["state"] == "failing":
        failures = health["consecutive_failures"]
        return Attention(
            webhook, "failing", f"{failures:,} attempts in a row have failed.", health.get("since")
        )
    return None


def sentence_of(total: _Fields, webhooks: Sequence[_Fields], attention: Sequence[object]) -> str:
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


def charts_of(statistics: _Fields) -> Mapping[str, Any]:
    """Return the charts of statistics with the rows of their tables."""
    buckets = statistics["buckets"]
    is_daily = statistics["bucket"] == "day"
    labels = [
        f"{instant_of(bucket['start']):{'%d %b' if is_daily else '%d %b %H:%M'}}"
        for bucket in buckets
    ]
    bars = [Bar(label, bucket["deliveries"]) for label, bucket in zip(labels, buckets, strict=True)]
    p95 = [bucket.get("delivery_time_ms", {}).get("p95") for bucket in buckets]
    told = [
        f"{label}: {milliseconds(value) if value is not None else 'nothing delivered'}"
        for label, value in zip(labels, p95, strict=True)
    ]
    most = max((bar.total for bar in bars), default=0)
    slowest = max((value for value in p95 if value is not None), default=None)
    series = [*buckets[0]["deliveries"]]
    return {
        "first": labels[0],
        "last": labels[-1],
        "series": series,
        "deliveries": stacked_bars("Deliveries by how they ended", bars),
        "most": f"{most:,}",
        "rows": [
            [label, *(f"{bar.counts[name]:,}" for name in series)]
            for label, bar in zip(labels, bars, strict=True)
        ],
        "latency": line("95th percentile of the time from stored to delivered", p95, told),
        "slowest": "" if slowest is None else milliseconds(slowest),
        "latency_rows": [
            [label, *_percentiles(bucket.get("delivery_time_ms"))]
            for label, bucket in zip(labels, buckets, strict=True)
        ],
    }


def _percentiles(found: Mapping[str, float] | None) -> Sequence[str]:
    return [milliseconds(found[name]) if found else NOTHING for name in ("p50", "p95", "p99")]
