"""Statistics as the API shows them, made into charts with the tables behind them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from notification_core.model.statistics import BucketSize
from notification_entrypoints.console.charts import Bar, line, stacked_bars
from notification_entrypoints.console.rendering import NOTHING, instant_of, milliseconds

Fields = Mapping[str, Any]


def charts_of(statistics: Fields, counted: str, timed: str) -> Mapping[str, Any]:
    """Return the charts of statistics with the rows of their tables.

    ``counted`` is what is stacked, ``deliveries`` or ``attempts``; ``timed`` is what the line is
    the 95th percentile of, ``delivery_time_ms`` or ``attempt_duration_ms``.
    """
    buckets = statistics["buckets"]
    bars = bars_of(statistics, counted)
    labels = [bar.label for bar in bars]
    p95 = [bucket.get(timed, {}).get("p95") for bucket in buckets]
    told = [
        f"{label}: {NOTHING if value is None else milliseconds(value)}"
        for label, value in zip(labels, p95, strict=True)
    ]
    slowest = max((value for value in p95 if value is not None), default=None)
    series = [*buckets[0][counted]]
    return {
        "by": statistics["bucket"],
        "first": labels[0],
        "last": labels[-1],
        "series": series,
        "counts": stacked_bars(f"{counted.capitalize()} by how they ended", bars),
        "most": f"{max((bar.total for bar in bars), default=0):,}",
        "rows": [[bar.label, *(f"{bar.counts[name]:,}" for name in series)] for bar in bars],
        "latency": line("95th percentile", p95, told),
        "slowest": "" if slowest is None else milliseconds(slowest),
        "latency_rows": [
            [label, *_percentiles(bucket.get(timed))]
            for label, bucket in zip(labels, buckets, strict=True)
        ],
    }


def bars_of(statistics: Fields, counted: str) -> Sequence[Bar]:
    """Return a bar for each bucket."""
    span = BucketSize(statistics["bucket"])
    return [
        Bar(label_of(instant_of(bucket["start"]), span), bucket[counted])
        for bucket in statistics["buckets"]
    ]


def label_of(start: datetime, span: BucketSize) -> str:
    """Return what a bucket is called."""
    return f"{start:%d %b}" if span is BucketSize.DAY else f"{start:%d %b %H:%M}"


def _percentiles(found: Mapping[str, float] | None) -> Sequence[str]:
    return [milliseconds(found[name]) if found else NOTHING for name in ("p50", "p95", "p99")]
