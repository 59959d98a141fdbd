"""Sending one HTTP request to a stranger's server."""

from abc import abstractmethod
from collections.abc import Callable, Hashable
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen

from notification_core.errors import NotificationError
from notification_core.model.delivery import AttemptError, ReceivedResponse
from notification_core.model.phases import Phases
from notification_core.model.webhook import Method

MAX_RESPONSE_BYTES = 64 * 1024
"""A response's body is read to here and no further."""

MAX_LOGGED_BYTES = 16 * 1024
"""A response's body is logged to here."""


class Phase(StrEnum):
    """What the time of a request goes into; only a new connection has the first three."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    FIRST_BYTE = "first_byte"
    """From when the request was sent to the first byte of its response."""


OnPhase = Callable[[Phase, float], None]
"""Is called with how many seconds a phase took that ended; returns at once and raises nothing."""


class SendingFailed(NotificationError):
    """No usable response came back; ``error`` says why, in words for the customer.

    ``phases`` are those until then, if the sender measures them and had something to connect to.
    """

    def __init__(self, error: AttemptError, phases: Phases | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.phases = phases


@frozen
class HttpRequest:
    """A request as it goes out: these headers, plus what HTTP itself needs (Host, …).

    A connection is reused only for requests with an equal ``pool_key``; with None the request has
    a connection of its own, which is not reused. HTTP/1.1 matches responses to requests by their
    order alone, so that one response too many is taken as the response to somebody else's request.
    """

    method: Method
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    pool_key: Hashable | None = None


class HttpSender(Protocol):
    """Sends requests to destinations that its policy allows, and nothing else.

    One call is one request on the wire at most: it is never repeated, redirects are not followed,
    cookies are not kept, proxies of the environment are not used. Every address is checked at the
    moment of connect, whether it came from a name or stood in the URL.
    """

    @abstractmethod
    async def send(self, request: HttpRequest, timeout: timedelta) -> ReceivedResponse:  # noqa: ASYNC109 - the bound of the whole attempt is part of the port's promise
        """Send one request and return the response, from lookup to the body's end in ``timeout``.

        Once the headers are there the response counts: of a body that is cut, late or over 64 KiB
        what came is returned as ``truncated``. The body is returned undecoded, cut to 16 KiB. A
        sender that measures phases returns them with the response, and raises them with a failure.
        Raises :class:`SendingFailed` with ``timeout``, ``dns``, ``connect``, ``tls``,
        ``destination_not_allowed`` or ``invalid_response``, and :class:`ResourceShort` if something
        of this host ran out before the first byte was sent.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close idle connections; no request may be in flight."""
