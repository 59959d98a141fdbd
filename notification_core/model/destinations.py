"""Destinations: where this system sends to, and where it does not.

A webhook's URL is evaluated when it is written, by a parser of our own that is stricter than any
that reads the URL later, and without looking a name up. Every address is evaluated when connecting
to it.
A verdict is ``allow``, ``deny`` (understood, and refused) or ``reject`` (malformed, or read in two
ways by two readers); its reason says by which rule.
"""

import re
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import frozen

from notification_core.errors import DestinationRefused
from notification_core.model.destination_messages import MAX_URL_LENGTH, message_for
from notification_core.model.nat64 import WELL_KNOWN_PREFIX, embedded_ipv4

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


# RFC 3986, section 2, without the fragment's sign.
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORM = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?]*)(?P<rest>.*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]+))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
# A last label that some reader takes for a number, so that it takes the host for an address.
_NUMBER = re.compile(r"[0-9]+|0[xX].*")

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535
_FIRST_OPEN_PORT = 1024
_MAX_HOST_LENGTH = 253

# Tables are read better with several values a line.
# fmt: off
_INSIDE_NAMES = (
    "localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa",
    "onion", "invalid", "consul", "localdomain",
)
# ipaddress.is_global is not asked: it takes multicast, NAT64, 6to4 and site-local addresses for
# global ones. Of IPv6 all that is not in 2000::/3 is refused too.
_DENIED_IPV4 = tuple(IPv4Network(text) for text in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
    "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
))
_DENIED_IPV6 = tuple(IPv6Network(text) for text in (
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
))
# https://fetch.spec.whatwg.org/#port-blocking, as far as it is above 1023.
_BAD_PORTS = frozenset((
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
    6679, 6697, 10080,
))
# fmt: on
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


@frozen
class DestinationPolicy:
    """What an installation opens or closes beside the rules that always hold.

    ``allowed_networks`` opens addresses, ``allowed_hosts`` names (``name`` or ``*.suffix``, lower
    case): a name that is opened still has to lead to addresses that are allowed. An address that a
    name leads to within ``nat64_prefixes`` is the IPv4 address inside it.
    """

    allowed_networks: tuple[Network, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    require_https: bool = False
    nat64_prefixes: tuple[IPv6Network, ...] = (WELL_KNOWN_PREFIX,)


class DestinationVerdictKind(StrEnum):
    """What happens to a destination."""

    ALLOW = "allow"
    DENY = "deny"
    REJECT = "reject"


@frozen
class Destination:
    """Where a URL leads: ``host`` in lower case and without brackets, ``port`` always said.

    ``address`` is set where the host is an address and no name. ``target`` is path and query, as
    they are written: what a request asks for (RFC 9112, section 3.2.1).
    """

    scheme: str
    host: str
    port: int
    address: Address | None = None
    target: str = "/"

    @property
    def authority(self) -> str:
        """Host and port as the Host header names them: brackets around IPv6, no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host.removesuffix(".")
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@frozen
class DestinationVerdict:
    """A verdict with its reason; ``destination`` is set on a URL that is allowed."""

    kind: DestinationVerdictKind
    reason: str
    destination: Destination | None = None


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated list of CIDRs; empty if the text is.

    Raises ``ValueError`` that says which entry is wrong and how.
    """
    networks: list[Network] = []
    for entry in _entries(text):
        if "%" in entry:
            raise ValueError(f"{entry!r} names a zone; leave it out.")
        try:
            network = ip_network(entry)
        except ValueError as error:
            raise ValueError(f"{entry!r} is no network such as 10.0.0.0/8: {error}.") from None
        if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
            raise ValueError(f"{entry!r} stands for IPv4 addresses; write it as an IPv4 network.")
        networks.append(network)
    return tuple(networks)


def parse_hosts(text: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list of ``name`` and ``*.suffix``, in lower case.

    Raises ``ValueError`` that says which entry is wrong and how.
    """
    names = []
    for entry in _entries(text):
        name = entry.lower().removesuffix(".")
        labels = name.removeprefix("*.").split(".")
        if len(name) > _MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"{entry!r} is no host name and no *.suffix, such as *.example.com.")
        if _NUMBER.fullmatch(labels[-1]):
            raise ValueError(f"{entry!r} is an address; open it as a network.")
        names.append(name)
    return tuple(names)


def check_url(url: str, policy: DestinationPolicy) -> Destination:
    """Return where an allowed URL leads.

    Raises :class:`DestinationRefused`, in words for the customer, unless it is allowed.
    """
    verdict = evaluate_url(url, policy)
    if verdict.destination is None:
        raise DestinationRefused(message_for(verdict.reason))
    return verdict.destination


def check_address(address: str | Address, policy: DestinationPolicy) -> None:
    """Raise :class:`DestinationRefused`, naming no address, unless this one is allowed."""
    verdict = evaluate_address(address, policy)
    if verdict.kind is not DestinationVerdictKind.ALLOW:
        raise DestinationRefused(message_for(verdict.reason))


def has_same_origin(url: str, other: str) -> bool:
    """Tell whether two URLs have the same scheme, host and port; not if one is malformed."""
    try:
        origin, other_origin = [
            (parsed.scheme, parsed.host, parsed.port) for parsed in map(_parse, (url, other))
        ]
    except _Malformed:
        return False
    return origin == other_origin


def evaluate_url(url: str, policy: DestinationPolicy) -> DestinationVerdict:
    """Evaluate a webhook's URL. Nothing is looked up: a name's addresses are evaluated later."""
    try:
        destination = _parse(url)
    except _Malformed as malformed:
        return _rejected(malformed.reason)
    if denial := _denial(destination, policy):
        return _denied(denial)
    address = destination.address
    if isinstance(address, IPv6Address):
        # As RFC 5952 writes it.
        mapped = address.ipv4_mapped
        if destination.host != (f"::ffff:{mapped}" if mapped else str(address)):
            return _rejected("noncanonical-ip")
    reason = "allow(dns)" if address is None else "allow"
    return DestinationVerdict(DestinationVerdictKind.ALLOW, reason, destination)


def evaluate_address(address: str | Address, policy: DestinationPolicy) -> DestinationVerdict:
    """Evaluate an address that is about to be connected to.

    A literal was evaluated with its URL, so that this one may come from a name server's DNS64.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return _rejected("ip")
    denial = _address_denial(_translated(parsed, policy) or parsed, policy)
    return _denied(denial) if denial else DestinationVerdict(DestinationVerdictKind.ALLOW, "allow")


class _Malformed(Exception):
    """A URL that is refused for its form; ``reason`` is the rule."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _denied(rule: str) -> DestinationVerdict:
    return DestinationVerdict(DestinationVerdictKind.DENY, f"deny:{rule}")


def _rejected(rule: str) -> DestinationVerdict:
    return DestinationVerdict(DestinationVerdictKind.REJECT, f"reject:{rule}")


def _parse(url: str) -> Destination:
    """Take a URL apart; raise _Malformed if two readers could disagree."""
    if len(url) > MAX_URL_LENGTH:
        raise _Malformed("length")
    if not _CHARACTERS.fullmatch(url):
        raise _Malformed("charset")
    if _BROKEN_ESCAPE.search(url):
        raise _Malformed("pct")
    form = _FORM.fullmatch(url)
    if form is None:
        raise _Malformed("scheme-or-form")
    scheme, authority, target = form["scheme"].lower(), form["authority"].lower(), form["rest"]
    if "[" in target or "]" in target:
        # RFC 3986 knows brackets around an address only.
        raise _Malformed("brackets")
    if "@" in authority:
        raise _Malformed("userinfo")
    if "%" in authority:
        raise _Malformed("pct-host")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise _Malformed("ipv6-literal" if authority.startswith("[") else "authority")
    host, port = match["host"], match["port"] or str(_DEFAULT_PORTS[scheme])
    if not _PORT.fullmatch(port) or int(port) > _HIGHEST_PORT:
        raise _Malformed("port")
    return Destination(
        scheme,
        host.strip("[]"),
        int(port),
        _address_in(host),
        target if target.startswith("/") else f"/{target}",
    )


def _address_in(host: str) -> Address | None:
    """Return the address that a host is, None if it is a name."""
    if host.startswith("["):
        try:
            return IPv6Address(host[1:-1])
        except ValueError:
            raise _Malformed("ipv6-literal") from None
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > _MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise _Malformed("hostname")
    if not _NUMBER.fullmatch(labels[-1]):
        return None
    try:
        return IPv4Address(host)
    except ValueError:
        raise _Malformed("noncanonical-ip") from None


def _denial(destination: Destination, policy: DestinationPolicy) -> str | None:
    """Return the rule that a URL breaks, None if it breaks none."""
    address = destination.address
    if address is None:
        denial = _name_denial(destination.host.removesuffix("."), policy)
    else:
        denial = _address_denial(address, policy)
        inside = _translated(address, policy)
        if denial is None and inside is not None:  # both have to be allowed
            denial = _address_denial(inside, policy)
    if denial:
        return denial
    port = destination.port
    if port in _BAD_PORTS or (port < _FIRST_OPEN_PORT and port not in _DEFAULT_PORTS.values()):
        return "port"
    if policy.require_https and destination.scheme != "https":
        return "http"
    return None


def _name_denial(name: str, policy: DestinationPolicy) -> str | None:
    for pattern in policy.allowed_hosts:
        if name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:])):
            return None
    if _is_or_is_below(name, "localhost") and any(
        address in network for address in _LOOPBACK for network in policy.allowed_networks
    ):
        return None
    if "." not in name:
        return "single-label"
    if any(_is_or_is_below(name, inside) for inside in _INSIDE_NAMES):
        return "name"
    return None


def _is_or_is_below(name: str, parent: str) -> bool:
    return name == parent or name.endswith(f".{parent}")


def _translated(address: Address, policy: DestinationPolicy) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    return embedded_ipv4(address, policy.nat64_prefixes)


def _address_denial(address: Address, policy: DestinationPolicy) -> str | None:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped  # what an IPv4-mapped address connects to
    if any(address in network for network in policy.allowed_networks):
        return None
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return f"not-{_GLOBAL_IPV6}"
    denied = _DENIED_IPV4 if isinstance(address, IPv4Address) else _DENIED_IPV6
    return next((str(network) for network in denied if address in network), None)


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",")] if text.strip() else []
