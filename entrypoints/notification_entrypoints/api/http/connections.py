"""Connections to the API: where they come from, also through trusted proxies, and how many."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice

from aiohttp import web

from notification_adapters.http.shortages import is_last
from notification_core.model.destinations import Network
from notification_entrypoints.serving.http_server import PatientProtocol

_FORWARDED = "X-Forwarded-For"
_UNKNOWN = "unknown"
# An IPv6 customer has at least a /64: whoever counts single addresses counts nothing.
_PREFIX = 64
_MOST_REMEMBERED = 1_000
_MAX_EXAMINED = 64
"""How many of the connections that were silent for longest are looked at to find an idle one."""


def client_address(request: web.Request, proxies: Sequence[Network]) -> str:
    """Return the address of who sent a request.

    The peer's, unless it is one of our ``proxies``: then the last one that they say they had the
    request from and that is none of them. What was written before that, anybody can have written.
    """
    address = _parsed(request.remote or "")
    if address is None:
        return _UNKNOWN
    hops = reversed(",".join(request.headers.getall(_FORWARDED, ())).split(",")) if proxies else ()
    for hop in hops:
        if not _is_within(address, proxies) or (before := _parsed(hop.strip())) is None:
            break
        address = before
    return str(address)


def peer_is_within(request: web.Request, networks: Sequence[Network]) -> bool:
    """Tell whether what speaks to us directly is in one of these networks."""
    address = _parsed(request.remote or "")
    return address is not None and _is_within(address, networks)


@lru_cache(_MOST_REMEMBERED)
def network_of(address: str) -> str:
    """Return what is watched in an address' place: its network, where it has many of its own."""
    parsed = _parsed(address)
    if not isinstance(parsed, IPv6Address):
        return address
    return f"{IPv6Address(int(parsed) >> (128 - _PREFIX) << (128 - _PREFIX))}/{_PREFIX}"


def _is_within(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


@lru_cache(_MOST_REMEMBERED)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class ConnectionLimit:
    """Keeps connections below a bound; the one that nothing came on for longest is the first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_use: OrderedDict[PatientProtocol, None] = OrderedDict()

    def opened(self, connection: PatientProtocol, descriptor: int) -> PatientProtocol | None:
        """Count a new connection; return which one to close for it, itself if none is idle."""
        idle = None
        if len(self._by_use) >= self._most or is_last(descriptor):
            longest_silent = islice(self._by_use, _MAX_EXAMINED)
            idle = next((other for other in longest_silent if other.is_idle), connection)
            self._by_use.pop(idle, None)
        if idle is not connection:
            self._by_use[connection] = None
        return idle

    def used(self, connection: PatientProtocol) -> None:
        """Note that something came on a connection."""
        if connection in self._by_use:
            self._by_use.move_to_end(connection)

    def closed(self, connection: PatientProtocol) -> None:
        """Count a connection no more."""
        self._by_use.pop(connection, None)
