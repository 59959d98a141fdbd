"""The request's header fields, as far as they could make two requests of one."""

import re
from collections.abc import Iterable
from functools import lru_cache

from notification_core.errors import InvalidInput

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# What frames a message or belongs to the connection is HTTP's own; see RFC 9110, section 7.6.1.
_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

_ADDED_BY_AIOHTTP = frozenset({"content-type", "user-agent"})


@lru_cache(maxsize=1024)
def not_to_add(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names that aiohttp would add by itself and must not, None where there are none.

    Raises :class:`InvalidInput` where a name is no token, is there twice, or is HTTP's own. The
    names of a webhook's requests are always the same, so that this is computed once for each.
    """
    lowered = {name.lower() for name in names}
    if len(lowered) < len(names):
        raise InvalidInput("A header is there twice.")
    if not all(map(_TOKEN.fullmatch, names)):
        raise InvalidInput("A header's name holds a character that names must not hold.")
    if reserved := lowered & _OURS:
        raise InvalidInput(f"These headers are not to be set: {', '.join(sorted(reserved))}.")
    return tuple(_ADDED_BY_AIOHTTP - lowered) or None


def check_values(values: Iterable[str]) -> None:
    """Raise :class:`InvalidInput` unless all are visible ASCII and spaces: no line can end."""
    joined = "".join(values)
    if not (joined.isascii() and joined.isprintable()):
        raise InvalidInput("A header's value holds a character that is not visible ASCII.")
