"""A request as the bytes that go out, and where they go to."""

from typing import NamedTuple

from attrs import field, frozen

from notification_adapters.http.fields import check_values, checked_names
from notification_core.destinations import Destination
from notification_core.ports.sender import HttpRequest


class Origin(NamedTuple):
    """What a connection leads to, and may be used again for."""

    scheme: str
    host: str
    port: int
    is_address: bool


@frozen
class Target:
    """What all requests to one URL have in common; ``lines`` go out as they are."""

    origin: Origin
    lines: str = field(repr=False)


def target_of(destination: Destination) -> Target:
    """Return what requests to a URL that was judged begin with."""
    return Target(
        Origin(
            destination.scheme,
            destination.host,
            destination.port,
            is_address=destination.address is not None,
        ),
        f"{destination.target} HTTP/1.1\r\n"
        f"Host: {destination.authority}\r\n"
        "Accept-Encoding: identity\r\n",
    )


def head_of(request: HttpRequest, target: Target) -> bytes:
    """Return all of a request that comes before its body.

    Raises :class:`InvalidInput` where a header would make something else of it.
    """
    headers = request.headers
    names = checked_names(tuple([name for name, _ in headers]))
    check_values([value for _, value in headers])
    accept = "" if "accept" in names else "Accept: */*\r\n"
    first = f"{request.method.upper()} {target.lines}{accept}Content-Length: {len(request.body)}"
    return "\r\n".join([first, *map(": ".join, headers), "", ""]).encode("ascii")
