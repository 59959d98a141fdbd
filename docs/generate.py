"""Write what follows from the code: pages of docs/reference, and what a start would work out.

Run by ``nox -s generate``; with ``--check`` it writes nothing, and fails where a file that is
committed says something else than the code.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import msgspec
import yaml
from alerts_page import alerts_page
from api_page import api_page, schemas_page
from architecture_picture import architecture_picture
from dashboard import dashboard
from log_events_page import log_events_page
from metrics_page import metrics_page
from schema_tables import table
from settings_page import settings_page
from signing_vectors import published_vectors, vectors_page
from webhook_request_page import event_catalogue_page, webhook_request_page

from notification_adapters.sql.migrations.upgrading import as_text
from notification_core import ports
from notification_entrypoints.api.problems import Problem
from notification_entrypoints.cli.reference import commands_page

CHECKOUT = Path(__file__).parents[1]
REFERENCE = CHECKOUT / "docs" / "reference"
EXPLANATION = CHECKOUT / "docs" / "explanation"
API = CHECKOUT / "entrypoints" / "notification_entrypoints" / "api" / "openapi"
MIGRATIONS = CHECKOUT / "adapters" / "notification_adapters" / "sql" / "migrations"

ERROR_GROUPS = {
    10: "HTTP",
    11: "Validation",
    12: "Webhooks",
    13: "Events",
    14: "Deliveries",
    15: "Environments",
    16: "Authentication and authorization",
    19: "Availability and internal errors",
}


def errors_page() -> str:
    """Return the page of the API's catalogue of errors."""
    parts = [
        "# Errors",
        (
            "Every error of the API has one shape: `error_code`, `http_code`, `message`, "
            "`request_id`, and for invalid fields `details`, a list of `field` and `message`. "
            "`internal_message` and `stacktrace` are empty unless it runs with `DEBUG=true` "
            "and the caller is an administrator. "
            "A number never changes its meaning. If `Accept` names `application/problem+json`, an "
            "error comes as [problem details](schemas.md#schema-problemdetails) (RFC 9457)."
        ),
    ]
    kinds = sorted((problem.value for problem in Problem), key=lambda kind: kind.error_code)
    for hundred, group in groupby(kinds, key=lambda kind: kind.error_code // 100):
        rows = [(f"`{e.error_code}`", str(e.http_code), e.message) for e in group]
        parts.append(f"## {ERROR_GROUPS.get(hundred, f'{hundred}xx')}")
        parts.append(table(("error_code", "HTTP", "Message"), rows))
    return _page(parts)


def ports_page() -> str:
    """Return the page that has Sphinx show each module of ports, as its docstrings say."""
    parts = [
        "# Ports",
        (
            "What the core requires of storage, sender, clock and others. Each port is a protocol "
            "that adapters inherit; one suite of contract tests verifies what its methods promise, "
            "for every adapter. Sphinx writes this page from the docstrings of "
            "`notification_core/ports/`."
        ),
    ]
    for name in sorted(module.name for module in iter_modules(ports.__path__)):
        directive = f".. automodule:: {ports.__name__}.{name}\n   :members:"
        parts.append(f"## {name}\n\n```{{eval-rst}}\n{directive}\n```")
    return _page(parts)


def reference_page() -> str:
    """Return the page of the API's operations."""
    return _page(api_page(_document()))


def _document() -> Mapping[str, Any]:
    document: Mapping[str, Any] = yaml.safe_load((API / "openapi.yaml").read_text("utf-8"))
    return document


def _document_as_json() -> str:
    """Return the API's document as the API reads it."""
    return _as_json(_document())


def _as_json(value: Mapping[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"


def _page(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"


WRITTEN: Mapping[Path, Callable[[], str]] = {
    EXPLANATION / "architecture.svg": architecture_picture,
    CHECKOUT / "deploy" / "grafana" / "notification-management.json": dashboard,
    REFERENCE / "alerts.md": lambda: _page(alerts_page()),
    REFERENCE / "api.md": reference_page,
    REFERENCE / "commands.md": commands_page,
    REFERENCE / "errors.md": errors_page,
    REFERENCE / "event-catalogue.md": lambda: _page(event_catalogue_page()),
    REFERENCE / "log-events.md": lambda: _page(log_events_page()),
    REFERENCE / "metrics.md": lambda: _page(metrics_page()),
    REFERENCE / "ports.md": ports_page,
    REFERENCE / "schemas.md": lambda: _page(schemas_page(_document())),
    REFERENCE / "settings.md": lambda: _page(settings_page()),
    REFERENCE / "signing-vectors.json": lambda: _as_json(published_vectors()),
    REFERENCE / "signing-vectors.md": lambda: _page(vectors_page()),
    REFERENCE / "webhook-request.md": lambda: _page(webhook_request_page()),
    API / "openapi.json": _document_as_json,
    MIGRATIONS / "new.postgresql.sql": lambda: _statements("postgresql"),
    MIGRATIONS / "new.sqlite.sql": lambda: _statements("sqlite"),
}


def _statements(dialect: str) -> str:
    """Return the statements that all migrations come to, as a database is made by them."""
    return as_text(dialect, None).rstrip() + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with ``--check`` compare them."""
    stale = []
    for path, made in WRITTEN.items():
        text = made()
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(str(path.relative_to(CHECKOUT)))
            if "--check" not in arguments:
                path.write_text(text, "utf-8")
    if "--check" in arguments and stale:
        print(f"Out of date: {', '.join(stale)}. Run `nox -s generate`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
