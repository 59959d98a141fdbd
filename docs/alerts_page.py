"""The page of the alerts, from the file of rules that Prometheus loads."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from schema_tables import table

CHECKOUT = Path(__file__).parents[1]
RULES = CHECKOUT / "deploy" / "prometheus" / "notification-management.rules.yaml"
_DOCS = "docs/"


def alerts_page() -> Sequence[str]:
    """Return the parts of the page."""
    rows = [
        (
            f"[`{rule['alert']}`](../{rule['annotations']['runbook'].removeprefix(_DOCS)})",
            rule["labels"]["severity"],
            rule.get("for", "at once"),
            rule["annotations"]["meaning"],
        )
        for rule in rules()
    ]
    queries = [f"`{rule['alert']}`\n\n```promql\n{rule['expr'].strip()}\n```" for rule in rules()]
    return [
        "# Alerts",
        (
            "The alerts of `deploy/prometheus/notification-management.rules.yaml`, each with a "
            "link to its runbook. `page` is for a person at once, `ticket` for the next day. "
            "[How to load them](../how-to/operate/alerts.md)."
        ),
        table(("Alert", "Severity", "After", "Meaning"), rows),
        "## Queries",
        *queries,
    ]


def rules() -> Iterator[Mapping[str, Any]]:
    """Yield the rules."""
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from group["rules"]
