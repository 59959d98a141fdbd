"""The Grafana dashboard, as the JSON that Grafana imports."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

_COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@frozen
class Query:
    """A query of Prometheus, and what names its series in the legend."""

    expression: str
    legend: str


@frozen
class Panel:
    """A picture of some queries over time; ``unit`` is Grafana's name of one."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]


def quantiles(metric: str, by: str = "", *fractions: float) -> Sequence[Query]:
    """Return the queries for percentiles of a histogram, by a label if one is named."""
    labels = f"le, {by}" if by else "le"
    name = f"{{{{{by}}}}} " if by else ""
    buckets = f"sum by ({labels}) (rate({metric}_bucket[$__rate_interval]))"
    return [
        Query(f"histogram_quantile({fraction}, {buckets})", f"{name}p{fraction * 100:g}")
        for fraction in fractions or (0.5, 0.95, 0.99)
    ]


def rate(metric: str, by: str) -> Query:
    """Return the query for a counter's rate, by a label."""
    return Query(f"sum by ({by}) (rate({metric}[$__rate_interval]))", f"{{{{{by}}}}}")


ROWS: Final[Mapping[str, Sequence[Panel]]] = {
    "Is it healthy?": (
        Panel(
            "Parts that do not work",
            "What /readyz says. Anything but 0 is an outage of that part.",
            "short",
            [Query("max by (part) (notification_part_unavailable)", "{{part}}")],
        ),
        Panel(
            "Oldest due delivery",
            "For how long a delivery has been due that nothing of its receiver holds back.",
            "s",
            [Query("max(notification_oldest_due_delivery_age_seconds)", "age")],
        ),
        Panel(
            "First attempt after",
            "From storing a delivery to its first attempt: what we promise. No receiver moves it.",
            "s",
            quantiles("notification_first_attempt_delay_seconds"),
        ),
        Panel(
            "Environments that are not reached",
            "Share of the environments of the last ten minutes none of whose webhooks was reached.",
            "percentunit",
            [
                Query(
                    'sum(notification_environments_attempted{outcome="failed"})'
                    " / sum(notification_environments_attempted)",
                    "share",
                )
            ],
        ),
    ),
    "Traffic": (
        Panel(
            "Events published",
            "By where they came from, and whether they were new.",
            "ops",
            [
                Query(
                    "sum by (source, result) (rate(notification_events_total[$__rate_interval]))",
                    "{{source}} {{result}}",
                )
            ],
        ),
        Panel(
            "Deliveries ended",
            "By state.",
            "ops",
            [rate("notification_deliveries_ended_total", "state")],
        ),
        Panel(
            "Attempts",
            "By outcome.",
            "ops",
            [rate("notification_attempts_total", "outcome")],
        ),
        Panel(
            "Failed attempts",
            "By error.",
            "ops",
            [
                rate('notification_attempts_total{outcome="failed"}', "error_code"),
            ],
        ),
        Panel(
            "Requests to the API",
            "By status.",
            "reqps",
            [rate("notification_api_requests_total", "http_code")],
        ),
    ),
    "Duration": (
        Panel(
            "Delivered after",
            "From storing a delivery to its success, with all retries that its receiver caused.",
            "s",
            quantiles("notification_delivery_duration_seconds"),
        ),
        Panel(
            "Attempt",
            "How fast receivers respond.",
            "s",
            quantiles("notification_attempt_duration_seconds", "outcome", 0.5, 0.95),
        ),
        Panel(
            "Phases of an attempt (p95)",
            "dns, connect and tls of new connections; first_byte is the receiver.",
            "s",
            quantiles("notification_attempt_phase_duration_seconds", "phase", 0.95),
        ),
        Panel(
            "API (p95)",
            "By route.",
            "s",
            quantiles("notification_api_request_duration_seconds", "route", 0.95),
        ),
    ),
    "Backlog": (
        Panel(
            "Pending deliveries",
            "In storage, capped at 100,000.",
            "short",
            [Query("max by (state) (notification_deliveries_pending)", "{{state}}")],
        ),
        Panel(
            "In flight",
            "Attempts under way, and how many may be.",
            "short",
            [
                Query("sum(notification_attempts_in_flight)", "in flight"),
                Query("sum(notification_attempts_in_flight_limit)", "limit"),
            ],
        ),
        Panel(
            "Webhooks that are paused",
            "By the circuit breaker, until a probe succeeds.",
            "short",
            [Query("max(notification_webhooks_paused)", "paused")],
        ),
        Panel(
            "Unfinished",
            "Messages in the outbox, operational events, running replays and erasures.",
            "short",
            [Query("max by (kind) (notification_unfinished)", "{{kind}}")],
        ),
        Panel(
            "Kafka lag",
            "Messages that are not stored yet.",
            "short",
            [
                Query(
                    "sum by (topic) (max by (topic, partition)"
                    " (notification_kafka_consumer_lag_messages))",
                    "{{topic}}",
                )
            ],
        ),
    ),
    "Saturation": (
        Panel(
            "Database transactions",
            "How long a connection is used.",
            "s",
            quantiles("notification_db_transaction_duration_seconds"),
        ),
        Panel(
            "Wait for a connection",
            "Near 0, or there are too few.",
            "s",
            quantiles("notification_db_connection_wait_seconds", "", 0.95, 0.99),
        ),
        Panel(
            "Lag of the event loop",
            "All that a process does is late by as much.",
            "s",
            quantiles("notification_event_loop_lag_seconds", "", 0.95, 0.99),
        ),
        Panel(
            "CPU",
            "Cores in use, by process.",
            "short",
            [
                Query(
                    'rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval])',
                    "{{instance}} {{worker}}",
                )
            ],
        ),
    ),
}


def dashboard() -> str:
    """Return the dashboard."""
    content = {
        "uid": "notification-management",
        "title": "Notification Management",
        "description": "Webhook delivery: health, traffic, duration, backlog, saturation.",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                {
                    "name": "job",
                    "type": "query",
                    "datasource": _SOURCE,
                    "query": "label_values(notification_build_info, job)",
                    "includeAll": True,
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": list(_panels()),
    }
    return json.dumps(content, indent=1) + "\n"


def _panels() -> Iterator[Mapping[str, Any]]:
    top, number = 0, 1
    for title, panels in ROWS.items():
        at = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": at, "panels": []}
        number, top, width = number + 1, top + 1, _COLUMNS // len(panels)
        for column, panel in enumerate(panels):
            at = {"x": column * width, "y": top, "w": width, "h": 8}
            yield _panel(panel, number, at)
            number += 1
        top += 8


def _panel(panel: Panel, number: int, at: Mapping[str, int]) -> Mapping[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": at,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for place, query in enumerate(panel.queries)
        ],
    }
