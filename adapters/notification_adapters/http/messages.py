"""HTTP messages of both clients: which headers a request has, how much of a response is read."""

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache

from notification_adapters.http.failures import headers_too_large, unusable_status
from notification_core.errors import InvalidInput
from notification_core.model.delivery import ReceivedResponse
from notification_core.model.phases import REUSED
from notification_core.ports.sender import MAX_LOGGED_BYTES

IDLE = timedelta(seconds=2)
"""How long a connection is kept for a next request: less than most servers keep theirs."""

MAX_HEADER_BYTES = 64 * 1024
"""All headers of a response together."""

MAX_HEADERS = 128
"""So many headers may come."""

MAX_CACHED_URLS = 4096
"""How many URLs are kept taken apart: those of the webhooks that are sent to now."""

FIRST_FINAL_STATUS = 200

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# What frames a message or belongs to the connection is HTTP's own; see RFC 9110, section 7.6.1.
_RESERVED = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


@lru_cache(maxsize=1024)
def checked_names(names: tuple[str, ...]) -> frozenset[str]:
    """Return the names of a request's headers in lower case.

    Raises :class:`InvalidInput` if a name is not a token, is there twice, or is HTTP's own: the
    headers could make two requests of one. The names of a webhook's requests are always the same,
    so that this is computed once for each.
    """
    lowered = frozenset([name.lower() for name in names])
    if len(lowered) < len(names):
        raise InvalidInput("A header is there twice.")
    if not all(map(_TOKEN.fullmatch, names)):
        raise InvalidInput("A header's name holds a character that names must not hold.")
    if reserved := lowered & _RESERVED:
        raise InvalidInput(f"These headers are not to be set: {', '.join(sorted(reserved))}.")
    return lowered


def invalid_value() -> InvalidInput:
    """Return the error of a value with which a header would not end where it should."""
    return InvalidInput("A header's value holds a character that is not visible ASCII.")


def received(
    status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, *, complete: bool
) -> ReceivedResponse:
    """Return a response as the log keeps it, to a request on a reused connection.

    Its headers are text that every storage accepts: without lone surrogates. Raises
    :class:`SendingFailed` if the response cannot be accepted.
    """
    if status < FIRST_FINAL_STATUS:
        raise unusable_status(status)
    size = 0
    decoded = []
    for name, value in headers:
        size += len(name) + len(value)
        decoded.append((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")))
    if size > MAX_HEADER_BYTES:
        raise headers_too_large()
    truncated = not complete or len(body) > MAX_LOGGED_BYTES
    return ReceivedResponse(status, tuple(decoded), body[:MAX_LOGGED_BYTES], truncated, REUSED)
