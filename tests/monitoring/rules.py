"""Unit tests of the alerts: each fires for its fault, and no other one does.

Written for ``promtool test rules``: the series of a healthy installation of two processes, and for
each fault those that differ.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

_MINUTES: Final = 30
_JOBS: Final = ("a", "b")

Series = Mapping[str, str]
"""The values of series by their selector, a minute apart, in promtool's notation."""


def _each(name: str, values: str, labels: str = "") -> dict[str, str]:
    """Return a series for each process."""
    more = f",{labels}" if labels else ""
    return {f'{name}{{instance="{job}"{more}}}': values for job in _JOBS}


def _histogram(name: str, fast: int, slow: int) -> dict[str, str]:
    """Return a histogram with so many observations a minute below 0.1 s, and at 100 s."""
    buckets = {"0.1": fast, "60.0": fast, "120.0": fast + slow, "+Inf": fast + slow}
    return {
        selector: values
        for bound, count in buckets.items()
        for selector, values in _each(
            f"{name}_bucket", f"0+{count}x{_MINUTES}", f'le="{bound}"'
        ).items()
    }


def _still(value: float) -> str:
    return f"{value}+0x{_MINUTES}"


def _growing(by: float) -> str:
    return f"0+{by}x{_MINUTES}"


_DELAY, _WAIT, _LAG = (
    "notification_first_attempt_delay_seconds",
    "notification_db_connection_wait_seconds",
    "notification_event_loop_lag_seconds",
)
_DUE_LATE, _FIRST_LATE = "NotificationDeliveriesLate", "NotificationFirstAttemptsLate"
_GONE: Final = f"1+0x2 stale _x{_MINUTES}"

HEALTHY: Final[Series] = {
    **_each("notification_build_info", _still(1)),
    **_each("notification_worker_lock_held", _still(1)),
    **_each("notification_part_unavailable", _still(0), 'part="storage"'),
    **_each("notification_unfinished_age_seconds", _still(1), 'kind="outbox"'),
    **_each("notification_unfinished_age_seconds", _still(0), 'kind="erasures"'),
    **_each("notification_retention_lag_seconds", _still(90)),
    **_each("notification_oldest_due_delivery_age_seconds", _still(1)),
    **_histogram(_DELAY, 600, 0),
    **_histogram(_WAIT, 600, 0),
    **_histogram(_LAG, 120, 0),
    **_each("notification_kafka_consumer_lag_messages", _still(200), 'topic="t",partition="0"'),
    **_each("notification_events_total", _growing(600), 'source="kafka",result="accepted"'),
    **_each("notification_background_task_errors_total", _still(1), 'task="claim"'),
    **_each("notification_environments_attempted", _still(9), 'outcome="succeeded"'),
    **_each("notification_environments_attempted", _still(1), 'outcome="failed"'),
    **_each(
        "notification_api_requests_total", _growing(600), 'method="GET",route="/r",http_code="200"'
    ),
    **_each(
        "notification_api_requests_total", _still(0), 'method="GET",route="/r",http_code="503"'
    ),
    **_each("notification_results_fenced_total", _still(0)),
    **_each("notification_resource_exhausted_total", _still(0), 'resource="files"'),
    **_each("notification_worker_restarts_total", _still(1)),
    **_each("notification_log_lines_dropped_total", _still(0)),
}

FAULTS: Final[Mapping[str, Series]] = {
    "NotificationNothingDelivers": _each("notification_worker_lock_held", _still(0)),
    "NotificationMessagesNotRelayed": _each(
        "notification_unfinished_age_seconds", "0+60x30", 'kind="outbox"'
    ),
    "NotificationErasureLate": _each(
        "notification_unfinished_age_seconds", "0+1800x30", 'kind="erasures"'
    ),
    "NotificationRetentionLate": _each("notification_retention_lag_seconds", "0+3600x30"),
    "NotificationPartUnavailable": _each(
        "notification_part_unavailable", _still(1), 'part="storage"'
    ),
    _DUE_LATE: _each("notification_oldest_due_delivery_age_seconds", "0+60x30"),
    _FIRST_LATE: _histogram(_DELAY, 600, 60),
    "NotificationKafkaLag": _each(
        "notification_kafka_consumer_lag_messages", "0+6000x30", 'topic="t",partition="0"'
    ),
    "NotificationKafkaLagUnknown": _each(
        "notification_kafka_consumer_lag_messages", _GONE, 'topic="t",partition="0"'
    ),
    "NotificationBackgroundTaskFailing": _each(
        "notification_background_task_errors_total", _growing(2), 'task="claim"'
    ),
    "NotificationEnvironmentsUnreachable": _each(
        "notification_environments_attempted", _still(12), 'outcome="failed"'
    ),
    "NotificationApiErrors": _each(
        "notification_api_requests_total", _growing(3), 'method="GET",route="/r",http_code="503"'
    ),
    "NotificationResultsFenced": _each("notification_results_fenced_total", _growing(1)),
    "NotificationResourceExhausted": _each(
        "notification_resource_exhausted_total", _growing(5), 'resource="files"'
    ),
    "NotificationConnectionsScarce": _histogram(_WAIT, 500, 100),
    "NotificationEventLoopLags": _histogram(_LAG, 100, 20),
    "NotificationWorkersRestarting": _each("notification_worker_restarts_total", _growing(1)),
    "NotificationLogLinesDropped": _each("notification_log_lines_dropped_total", _growing(4)),
}


def rule_tests(rules: Path) -> str:
    """Return the file of tests for ``promtool test rules``."""
    nothing_is_scraped = {
        name: _GONE for name in HEALTHY if not name.startswith("notification_events")
    }
    cases: list[tuple[str, Series, Sequence[str]]] = [
        ("nothing is wrong", HEALTHY, ()),
        # What comes from Kafka is not read either.
        (
            "no process runs",
            {**HEALTHY, **nothing_is_scraped},
            ("NotificationAbsent", "NotificationKafkaLagUnknown"),
        ),
        *((alert, {**HEALTHY, **series}, (alert,)) for alert, series in FAULTS.items()),
        # All requests in flight are taken: what is due waits, and what is sent has waited.
        (
            "sending is at its limit",
            {**HEALTHY, **FAULTS[_DUE_LATE], **FAULTS[_FIRST_LATE]},
            (_DUE_LATE, _FIRST_LATE),
        ),
    ]
    return yaml.safe_dump(
        {
            "rule_files": [str(rules)],
            "evaluation_interval": "1m",
            "tests": [_test(name, series, alerts) for name, series, alerts in cases],
        }
    )


def _test(name: str, series: Series, alerts: Sequence[str]) -> Mapping[str, object]:
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
    firing = 'max by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{_MINUTES - 2}m", "exp_samples": expected}
        ],
    }
