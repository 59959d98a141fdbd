"""IPv4 addresses inside IPv6 ones (RFC 6052): what a network behind NAT64 and DNS64 connects to."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

WELL_KNOWN_PREFIX: Final = IPv6Network("64:ff9b::/96")
PREFIX_LENGTHS: Final = (32, 40, 48, 56, 64, 96)


def embedded_ipv4(address: IPv6Address, prefixes: Sequence[IPv6Network]) -> IPv4Address | None:
    """Return the IPv4 address that one of these prefixes leads to; None outside of all of them.

    The prefixes' lengths are those of :data:`PREFIX_LENGTHS`; bits 64 to 71 are skipped, as
    RFC 6052, section 2.2 says.
    """
    prefix = next((prefix for prefix in prefixes if address in prefix), None)
    if prefix is None:
        return None
    octets, first = address.packed, prefix.prefixlen // 8
    following = octets[first:8] + octets[9:] if first <= 8 else octets[first:]  # noqa: PLR2004 - the skipped octet
    return IPv4Address(following[:4])


def parse_nat64_prefixes(text: str) -> tuple[IPv6Network, ...]:
    """Return the prefixes of a comma-separated list; empty if the text is.

    Raises ``ValueError`` that says which entry is wrong and how.
    """
    prefixes = []
    for entry in text.split(",") if text.strip() else ():
        name = entry.strip()
        try:
            prefix = IPv6Network(name)
        except ValueError as error:
            raise ValueError(f"{name!r} is not an IPv6 prefix: {error}") from error
        if prefix.prefixlen not in PREFIX_LENGTHS:
            lengths = ", ".join(map(str, PREFIX_LENGTHS))
            raise ValueError(f"{name!r} has another length than {lengths} (RFC 6052)")
        prefixes.append(prefix)
    return tuple(prefixes)
