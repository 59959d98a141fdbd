"""A request as the bytes that go out, and where they go to."""

from operator import itemgetter
from typing import NamedTuple

from attrs import field, frozen

from notification_adapters.http.messages import checked_names, invalid_value
from notification_adapters.http.proxy import EgressProxy
from notification_core.model.destinations import Destination
from notification_core.ports.sender import HttpRequest

_NAME = itemgetter(0)
_VISIBLE = bytes(range(0x20, 0x7F))
_END_OF_LINE = "\r\n"
_END_OF_HEAD = ("", "")


class HttpOrigin(NamedTuple):
    """What a connection leads to, and may be used again for."""

    scheme: str
    host: str
    port: int
    is_address: bool


@frozen
class Target:
    """What all requests to one URL have in common: ``path`` is what they ask for."""

    origin: HttpOrigin
    path: str = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)


def target_of(destination: Destination, proxy: EgressProxy | None = None) -> Target:
    """Return where requests to a URL that is allowed go, and what they ask for.

    A proxy is told the whole URL of what is not encrypted (RFC 9112, section 3.2.2), and not that
    of what is, nor the credentials that are its own.
    """
    origin = HttpOrigin(
        destination.scheme,
        destination.host,
        destination.port,
        is_address=destination.address is not None,
    )
    host = f"Host: {destination.authority}"
    if proxy is None or destination.scheme == "https":
        return Target(origin, destination.target, (host,))
    opening = [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []
    url = f"http://{destination.authority}{destination.target}"
    return Target(origin, url, (host, *opening))


def head_of(request: HttpRequest, target: Target) -> bytes:
    """Return all of a request that comes before its body.

    Raises :class:`InvalidInput` where a header would make something else of it.
    """
    headers = request.headers
    names = checked_names(tuple(map(_NAME, headers)))
    lines = [
        f"{request.method.upper()} {target.path} HTTP/1.1",
        *target.lines,
        "Accept-Encoding: identity",
        f"Content-Length: {len(request.body)}",
        *map(": ".join, headers),
    ]
    if "accept" not in names:
        lines.append("Accept: */*")
    lines += _END_OF_HEAD
    try:
        head = _END_OF_LINE.join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise invalid_value() from None
    # With all that may be seen taken out, what is left is the ends of the lines, each put there.
    if head.translate(None, _VISIBLE) != b"\r\n" * (len(lines) - 1):
        raise invalid_value()
    return head
