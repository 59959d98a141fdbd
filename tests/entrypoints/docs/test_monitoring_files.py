"""What alerts and dashboard name, there is: metrics, labels and runbooks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from notification_entrypoints.observability.metrics import Metrics

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy/prometheus/notification-management.rules.yaml"
DASHBOARD = ROOT / "deploy/grafana/notification-management.json"
SERIES = re.compile(r"\b(notification_[a-z_]+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in _rules())
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


@pytest.mark.parametrize("query", [*_queries()])
def test_a_query_names_metrics_and_labels_that_there_are(query: str) -> None:
    described = {metric.name: metric for metric in Metrics("", "").registry.descriptions}
    labels = {"le", "job"}
    named = SERIES.findall(query)
    for name, selected in named:
        metric = described[name.removesuffix("_bucket")]
        labels |= set(metric.labels)
        assert set(re.findall(r"(\w+)=", selected)) <= set(metric.labels)
    if named:
        grouped = {label.strip() for names in GROUPED.findall(query) for label in names.split(",")}
        assert grouped <= labels


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_its_runbook(rule: dict[str, Any]) -> None:
    assert (ROOT / rule["annotations"]["runbook"]).is_file()
    assert rule["labels"]["severity"] in {"page", "ticket"}
