"""JSON as a page shows it: pretty, with what is nested folded by ``details``.

It is for looking at; the text that was sent stands beside it as it is.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape

MAX_FOLDED: Final = 64 * 1024
"""Longer texts are shown as they are: nobody unfolds so much."""

_MAX_LEVELS: Final = 24
_OPEN_LEVELS: Final = 3


def json_view(text: str) -> Markup | None:
    """Return a JSON text as a tree; None for what is none, or too long or too deep for it."""
    if len(text) > MAX_FOLDED:
        return None
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    if not isinstance(value, dict | list) or _levels(value) > _MAX_LEVELS:
        return None
    return Markup('<div class="json">{}</div>').format(_node(value, 0))


def _levels(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_levels, below), default=0)


def _node(value: Any, level: int) -> Markup:
    if not isinstance(value, dict | list) or not value:
        kind = "text" if isinstance(value, str) else "value"
        written = msgspec.json.encode(value).decode()
        return Markup('<span class="json-{}">{}</span>').format(kind, written)
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    count = len(value)
    return Markup(
        "<details{}><summary>{}<span>{} {}</span></summary><ul>{}</ul><b>{}</b></details>"
    ).format(
        Markup(" open") if level < _OPEN_LEVELS else "",
        opening,
        count,
        "item" if count == 1 else "items",
        Markup().join(_lines(value, level)),
        closing,
    )


def _lines(value: Any, level: int) -> Iterator[Markup]:
    if isinstance(value, dict):
        for name, part in value.items():
            shown = escape(msgspec.json.encode(name).decode())
            yield Markup('<li><span class="json-name">{}</span>: {}</li>').format(
                shown, _node(part, level + 1)
            )
    else:
        for part in value:
            yield Markup("<li>{}</li>").format(_node(part, level + 1))
