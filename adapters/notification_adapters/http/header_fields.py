"""The request's header fields, as far as they could make two requests of one."""

import re
from functools import lru_cache

from notification_core.errors import InvalidInput

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# What frames a message or belongs to the connection is HTTP's own; see RFC 9110, section 7.6.1.
_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


@lru_cache(maxsize=1024)
def checked_names(names: tuple[str, ...]) -> frozenset[str]:
    """Return the names in lower case.

    Raises :class:`InvalidInput` where a name is no token, is there twice, or is HTTP's own. The
    names of a webhook's requests are always the same, so that this is computed once for each.
    """
    lowered = frozenset([name.lower() for name in names])
    if len(lowered) < len(names):
        raise InvalidInput("A header is there twice.")
    if not all(map(_TOKEN.fullmatch, names)):
        raise InvalidInput("A header's name holds a character that names must not hold.")
    if reserved := lowered & _OURS:
        raise InvalidInput(f"These headers are not to be set: {', '.join(sorted(reserved))}.")
    return lowered


def invalid_value() -> InvalidInput:
    """Return the error of a value with which a header would not end where it should."""
    return InvalidInput("A header's value holds a character that is not visible ASCII.")
