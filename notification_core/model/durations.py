"""Durations as Go writes them: ``250ms``, ``1m30s``, ``2h``, ``1.5h``, ``0``.

The grammar is that of Go's ``time.ParseDuration``, without the sign: no setting is negative.
"""

import re
from datetime import timedelta
from fractions import Fraction
from math import ceil

_MICROSECONDS = {
    "ns": Fraction(1, 1000),
    "us": Fraction(1),
    "\N{MICRO SIGN}s": Fraction(1),
    "\N{GREEK SMALL LETTER MU}s": Fraction(1),
    "ms": Fraction(1000),
    "s": Fraction(1_000_000),
    "m": Fraction(60_000_000),
    "h": Fraction(3_600_000_000),
}
_WRITTEN_UNITS = ("h", "m", "s", "ms", "us")
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-z\u00b5\u03bc]+)")

MAX_DURATION = timedelta(microseconds=(2**63 - 1) // 1000)
"""The longest duration, some 292 years: Go counts nanoseconds in 64 bits."""

_MAX_LENGTH = 100


def parse_duration(text: str) -> timedelta:
    """Return the duration that ``text`` says, rounded up to whole microseconds.

    Rounded up, so that ``1ns`` does not become "never wait". Raises ValueError for anything that
    Go does not accept, a sign, and more than 100 characters.
    """
    if text == "0":
        return timedelta(0)
    microseconds, position = Fraction(0), 0
    while position == 0 or position < len(text):  # there is at least one number with its unit
        part = _PART.match(text, position)
        if len(text) > _MAX_LENGTH or part is None or part[2] not in _MICROSECONDS:
            raise ValueError("a duration is numbers with units, such as 250ms, 1m30s or 2h")
        microseconds += Fraction(part[1]) * _MICROSECONDS[part[2]]
        position = part.end()
    if microseconds > MAX_DURATION // timedelta(microseconds=1):
        raise ValueError("a duration may not be longer than 292 years")
    return timedelta(microseconds=ceil(microseconds))


def format_duration(duration: timedelta) -> str:
    """Return the text that :func:`parse_duration` reads back as this very duration."""
    if duration < timedelta(0):
        raise ValueError("a duration may not be negative")
    rest = duration // timedelta(microseconds=1)
    written = ""
    for unit in _WRITTEN_UNITS:
        count, rest = divmod(rest, int(_MICROSECONDS[unit]))
        written += f"{count}{unit}" if count else ""
    return written or "0"
