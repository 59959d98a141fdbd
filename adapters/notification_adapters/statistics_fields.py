"""Statistics as the API shows them: counts by their names, histograms as percentiles."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from notification_core.model.delivery import AttemptOutcome, DeliveryState
from notification_core.model.statistics import Counts, Percentiles, Period, sum_of

_MILLISECOND: Final = timedelta(milliseconds=1)
_FINAL: Final = [state for state in DeliveryState if state is not DeliveryState.PENDING]


def statistics_fields(period: Period, counts: Mapping[datetime, Counts]) -> Mapping[str, object]:
    """Return the buckets of a period, those in which nothing was counted too, and their sum."""
    nothing = Counts()
    return {
        "since": period.since,
        "until": period.until,
        "bucket": period.span,
        "total": _fields(sum_of(counts.values())),
        "buckets": [
            {"start": start, **_fields(counts.get(start, nothing))} for start in period.starts
        ],
    }


def _fields(counts: Counts) -> Mapping[str, object]:
    fields: dict[str, object] = {
        "attempts": {outcome: counts.attempts[outcome] for outcome in AttemptOutcome},
        "errors": {code: count for code, count in sorted(counts.errors.items()) if count},
        "deliveries": {state: counts.deliveries[state] for state in _FINAL},
    }
    histograms = {
        "attempt_duration_ms": counts.durations,
        "delivery_time_ms": counts.delivery_times,
    }
    for name, histogram in histograms.items():
        if found := Percentiles.of(histogram):
            percentiles = {"p50": found.p50, "p95": found.p95, "p99": found.p99}
            fields[name] = {p: round(each / _MILLISECOND, 3) for p, each in percentiles.items()}
    return fields
