"""Templates, and how times, numbers and durations are written in them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web
from markupsafe import Markup

from notification_core.model.durations import format_duration
from notification_core.version import VERSION
from notification_entrypoints.console.static_files import static_files
from notification_entrypoints.console.theme import Theme

if TYPE_CHECKING:
    from jinja2 import Environment

NOTHING: Final = "\N{EN DASH}"
"""What stands for a figure that there is not."""

_SECOND: Final = timedelta(seconds=1)
_UNITS: Final = (
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "min"),
    (_SECOND, "s"),
)
_NO_HEADERS: Final[Mapping[str, str]] = {}
_KIB: Final = 1024
_MILLISECONDS: Final = 1000


@lru_cache(maxsize=8)
def _templates_with(theme: Theme) -> "Environment":
    """Return the templates, which show a theme."""
    environment = _templates().overlay()
    environment.globals = {**environment.globals, "theme": theme}
    return environment


@cache
def _templates() -> "Environment":
    """Return the templates; a name that a context lacks is an error, and all text is escaped."""
    # With the first page: most processes show none, and each start would wait for it.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - see above

    environment = Environment(
        loader=PackageLoader("notification_entrypoints.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "instant": instant_of,
        "ago": ago,
        "number": number,
        "milliseconds": milliseconds,
        "percent": percent,
        "pretty": pretty,
        "exact": exact,
        "duration": format_duration,
        "progress": progress,
        "bytes": size_of,
        "size": size,
    }
    environment.globals |= {"static": static_url, "has_static": has_static, "VERSION": VERSION}
    return environment


def html_response(
    theme: Theme,
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] = _NO_HEADERS,
) -> web.Response:
    """Return the page that a template makes of a context, and of whose console it is."""
    text = _templates_with(theme).get_template(template).render(context)
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)


def static_url(name: str) -> str:
    """Return where a file of ours is, with a part that says what is in it."""
    return f"/console/static/{static_files()[name].name}"


def has_static(name: str) -> bool:
    """Tell whether a file is there: what the build brings may be missing."""
    return name in static_files()


def instant_of(value: str | datetime) -> datetime:
    """Return a time, which the API writes as text, in UTC."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return at.astimezone(UTC)


def ago(value: str | datetime, now: datetime) -> Markup:
    """Return how long ago, or in how long, a time is; the time itself is its title."""
    at = instant_of(value)
    distance = now - at
    text = f"{rough(distance)} ago" if distance >= timedelta(0) else f"in {rough(-distance)}"
    if abs(distance) < _SECOND:
        text = "just now" if distance >= timedelta(0) else "now"
    exact = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    written = f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"
    return Markup('<time datetime="{}" title="{}" tabindex="0">{}</time>').format(
        written, exact, text
    )


def exact(value: str | datetime) -> Markup:
    """Return a time to the second."""
    at = instant_of(value)
    return Markup('<time class="exact" datetime="{}">{}</time>').format(
        f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", f"{at:%Y-%m-%d %H:%M:%S} UTC"
    )


def progress(replay: Mapping[str, Any]) -> int:
    """Return how much of its time a replay has done, in percent."""
    if replay["state"] == "completed":
        return 100
    since, until = instant_of(replay["since"]), instant_of(replay["until"])
    done = instant_of(replay.get("done_until", replay["since"]))
    return min(99, max(0, int((done - since) / max(until - since, _SECOND) * 100)))


def size_of(text: str) -> str:
    """Return how many bytes a text has."""
    return size(len(text.encode()))


def size(count: int) -> str:
    """Return a number of bytes: ``312 B``, ``64.0 KiB``."""
    return f"{count:,} B" if count < _KIB * 10 else f"{count / _KIB:,.1f} KiB"


def rough(span: timedelta) -> str:
    """Return a duration in its largest unit: ``3 min``."""
    for unit, name in _UNITS:
        if span >= unit:
            return f"{span // unit} {name}"
    return "less than 1 s"


def number(value: float) -> str:
    """Return a number with its thousands apart."""
    return f"{value:,}"


def milliseconds(value: float) -> str:
    """Return a duration in the unit that reads best: ``12 ms``, ``1.4 s``, ``3 min``."""
    if value < 1:
        return "< 1 ms"
    if value < _MILLISECONDS:
        return f"{value:.0f} ms"
    seconds = value / _MILLISECONDS
    if seconds < 60:  # noqa: PLR2004 - of a minute
        return f"{seconds:.1f} s"
    return rough(timedelta(seconds=seconds))


def percent(part: float, whole: float) -> str:
    """Return a share: never 100 % or 0 % of what is not quite that."""
    if not whole:
        return NOTHING
    share = part / whole * 100
    if part == whole or not part:
        return f"{share:.0f} %"
    return f"{min(99.99, max(0.01, share)):.2f} %"


def pretty(value: object) -> str:
    """Return a JSON value with line breaks."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def since_choices(now: datetime) -> Mapping[str, str]:
    """Return times to begin a list at, by their names.

    They are to the minute, so that pages of one list agree.
    """
    minute = now.replace(second=0, microsecond=0)
    spans = {"1 h": timedelta(hours=1), "24 h": timedelta(days=1), "7 d": timedelta(days=7)}
    return {name: f"{minute - span:%Y-%m-%dT%H:%M:%SZ}" for name, span in spans.items()}
