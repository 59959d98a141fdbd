"""One attempt of a delivery for people: what was sent, what came back, and how long it took."""

from collections.abc import Mapping
from contextlib import suppress

import msgspec
from rich.text import Text

from notification_core.model.phases import OPENING
from notification_entrypoints.cli.tables import plain, printable
from notification_entrypoints.cli.terminal import output, style

_INDENT = "  "
_STYLES = {"succeeded": "green", "failed": "red", "interrupted": "yellow"}


class _Message(msgspec.Struct):
    method: str = ""
    url: str = ""
    http_code: int | None = None
    headers: dict[str, object] = {}
    body: str = ""
    truncated: bool = False


class _Error(msgspec.Struct):
    code: str
    message: str = ""


class _Attempt(msgspec.Struct):
    attempt: int
    outcome: str
    started_at: str
    event_id: str = ""
    duration_ms: float | None = None
    error: _Error | None = None
    request: _Message | None = None
    response: _Message | None = None
    next_attempt_at: str | None = None
    phases_ms: dict[str, float] = {}


def print_attempt(fields: Mapping[str, object]) -> None:
    """Print an attempt as the API gives it; what it has beyond that is not shown."""
    attempt = msgspec.convert(fields, _Attempt)
    console = output()
    head = Text(f"Attempt {attempt.attempt}  ", style="bold")
    head.append(printable(attempt.outcome), style=_STYLES.get(attempt.outcome, ""))
    if attempt.duration_ms is not None:
        head.append(f"  {attempt.duration_ms:.1f} ms")
    head.append(f"  {style().time(attempt.started_at)}")
    console.print(head)
    if attempt.error:
        error = f"{attempt.error.code}: {attempt.error.message}"
        console.print(Text(f"{_INDENT}Error     {printable(error)}"))
    if attempt.phases_ms:
        console.print(Text(f"{_INDENT}Phases    {_phases(attempt.phases_ms)}"))
    if attempt.next_attempt_at:
        console.print(Text(f"{_INDENT}Retry due {style().time(attempt.next_attempt_at)}"))
    if request := attempt.request:
        method, url = printable(request.method.upper()), printable(request.url)
        console.print(Text(f"{_INDENT}Request   {method} {url}"))
        _print_content(request)
    if response := attempt.response:
        console.print(Text(f"{_INDENT}Response  {response.http_code}"))
        _print_content(response)


def _phases(phases: Mapping[str, float]) -> str:
    took = ", ".join(f"{printable(name)} {time:.1f} ms" for name, time in phases.items())
    return took if OPENING & phases.keys() else f"{took} (connection reused)"


def _print_content(message: _Message) -> None:
    console = output()
    for name, value in message.headers.items():
        console.print(Text(f"{_INDENT * 2}{printable(name)}: {plain(value)}"))
    if message.body:
        console.print()
        for line in pretty(message.body):
            console.print(Text(_INDENT * 2 + line))
        if message.truncated:
            console.print(Text(f"{_INDENT * 2}… (the log keeps no more of it)", style="dim"))


def pretty(body: str) -> list[str]:
    """Return the lines of a body: JSON is indented, all else stays as it is."""
    with suppress(msgspec.DecodeError, RecursionError):
        body = msgspec.json.format(body, indent=2)
    return [printable(line) for line in body.splitlines()]
