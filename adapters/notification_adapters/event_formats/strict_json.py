"""JSON (RFC 8259) by its strictest reading: the standard library's scanner, applied strictly."""

import codecs
import json
from itertools import accumulate
from math import isfinite
from typing import NoReturn

from notification_core.model.event import MAX_EVENT_DEPTH

TOO_DEEP = f"This is nested too deeply; {MAX_EVENT_DEPTH} levels are the most."

_MAX_QUOTED = 64
_SHALLOW = 8
"""Levels that are counted by taking brackets away from the inside: most texts have fewer."""

_NO_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]


MARKED = "This is not JSON: it begins with a byte order mark (RFC 8259, section 8.1); send none."
"""What is wrong with a text that begins with :data:`codecs.BOM_UTF8`."""


class Pairs(tuple[tuple[str, object], ...]):
    """A JSON object as it stands in the text: every pair, in its order."""

    __slots__ = ()


def depth_error(text: bytes) -> str | None:
    """Return what is wrong with a text that is nested too deeply, None if it is not.

    The time is linear in the length of the text, whether or not it is JSON.
    """
    # No more brackets than levels allowed: it cannot be too deep. Counted by how much shorter the
    # text is without them: replace() looks for the next one by memchr, count() at each byte.
    most = MAX_EVENT_DEPTH + 1
    left = len(text.replace(b"[", b"", most)) + len(text.replace(b"{", b"", most))
    if 2 * len(text) - left <= MAX_EVENT_DEPTH:
        return None
    # Every other part between quotes is a string, once those that are escaped are gone. Outside of
    # strings a backslash is no JSON: whoever parses the text goes no further.
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(text.split(b'"')[::2]).translate(None, _NO_BRACKET)
    outer = brackets
    for _ in range(_SHALLOW):
        outer = outer.replace(b"{}", b"").replace(b"[]", b"")
        if not outer:
            return None
    deepest = max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
    return TOO_DEEP if deepest > MAX_EVENT_DEPTH else None


def scanned(text: bytes) -> object:
    """Return the value of a text that is not too deep; raise ``ValueError``, which says why not.

    Objects are :class:`Pairs`. The values of integers are lost: they do not matter here, and
    Python refuses to make one of 5,000 digits.
    """
    if text.startswith(codecs.BOM_UTF8):
        raise ValueError(MARKED)
    try:
        value = _SCANNER.decode(text.decode())
        if rb"\u" in text:  # Only an escape can make a lone surrogate.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise ValueError(f"This is not UTF-8 (byte {error.start}).") from error
    except UnicodeEncodeError as error:
        raise ValueError("A string holds half of a surrogate pair; write both halves.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not JSON: {error}.") from error
    return value


def cut(text: str) -> str:
    """Return a stranger's text short enough to be quoted."""
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"The number {cut(text)} overflows; the most is about 1.8e308.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; numbers are finite.")


_SCANNER = json.JSONDecoder(
    object_pairs_hook=Pairs,
    parse_int=lambda _: 0,
    parse_float=_finite,
    parse_constant=_refuse_constant,
)
