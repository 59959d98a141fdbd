"""The phases of an attempt: a small waterfall, and the figures beside it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from markupsafe import Markup

from notification_core.model.phases import OPENING
from notification_entrypoints.console.charts import WaterfallBar, waterfall
from notification_entrypoints.console.rendering import milliseconds

_LABELS: Final = {
    "dns": "DNS lookup",
    "connect": "TCP connection",
    "tls": "TLS handshake",
    "first_byte": "First byte",
    "read": "Reading",
}
_EXACT_BELOW: Final = 100


@frozen
class PhaseFigures:
    """The phases of an attempt as they are shown: a picture, and a label and a time for each.

    ``connection`` is a sentence that tells a reused connection from a new one.
    """

    picture: Markup
    rows: Sequence[tuple[str, str]]
    connection: str


def phase_figures(attempt: Mapping[str, Any]) -> PhaseFigures | None:
    """Return the phases of an attempt, None if they were not measured."""
    phases = attempt.get("phases_ms", {})
    if not phases:
        return None
    # Without a response, the last phase is the one that it failed in.
    failed = None if "response" in attempt else [*phases][-1]
    bars, rows, start = [], [], 0.0
    for name, took in phases.items():
        label = f"{_LABELS.get(name, name)}{' (failed)' if name == failed else ''}"
        series = "failed" if name == failed else f"phase-{name.replace('_', '-')}"
        rows.append((label, _exact(took)))
        bars.append(WaterfallBar(start, took, series, f"{label}: {_exact(took)}"))
        start += took
    title = f"Where the time of attempt {attempt['attempt']} went"
    return PhaseFigures(waterfall(title, bars), rows, _connection_of(phases))


def _connection_of(phases: Mapping[str, float]) -> str:
    if not OPENING & phases.keys():
        return "Connection reused: there was nothing to look up or to connect to."
    is_open = "first_byte" in phases
    return "A new connection was opened." if is_open else "The connection could not be opened."


def _exact(took: float) -> str:
    return f"{took:.1f} ms" if took < _EXACT_BELOW else milliseconds(took)
