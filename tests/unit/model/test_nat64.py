"""Addresses behind NAT64 are checked by the IPv4 address that they lead to."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from notification_core.model.destinations import (
    DestinationPolicy,
    DestinationVerdictKind,
    evaluate_address,
    evaluate_url,
    parse_networks,
)
from notification_core.model.nat64 import PREFIX_LENGTHS, embedded_ipv4, parse_nat64_prefixes

OURS = IPv6Network("2a00:64::/32")
PUBLIC, INTERNAL = "64:ff9b::808:808", "64:ff9b::7f00:1"
CLOSED = DestinationPolicy()
OPENED = DestinationPolicy(allowed_networks=parse_networks("64:ff9b::/96"))


# RFC 6052, section 2.4.
@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ],
)
def test_the_address_inside_is_where_the_rfc_has_it(prefix: str, address: str) -> None:
    inside = embedded_ipv4(IPv6Address(address), [IPv6Network(prefix)])
    assert inside == IPv4Address("192.0.2.33")


def test_an_address_that_a_name_leads_to_is_checked_by_the_one_inside() -> None:
    assert evaluate_address(PUBLIC, CLOSED).kind is DestinationVerdictKind.ALLOW
    assert evaluate_address(INTERNAL, CLOSED).kind is DestinationVerdictKind.DENY


def test_an_address_in_a_url_needs_its_prefix_opened_too() -> None:
    assert evaluate_url(f"http://[{PUBLIC}]/", CLOSED).kind is DestinationVerdictKind.DENY
    assert evaluate_url(f"http://[{PUBLIC}]/", OPENED).kind is DestinationVerdictKind.ALLOW


@given(st.ip_addresses(v=4), st.sampled_from(PREFIX_LENGTHS))
def test_opening_a_prefix_opens_no_internal_address_inside_it(
    inside: IPv4Address, length: int
) -> None:
    prefix = IPv6Network((OURS.network_address, length))
    octets = [*prefix.network_address.packed[: length // 8], *inside.packed]
    if length < 96:
        octets.insert(8, 0)
    address = IPv6Address(bytes([*octets, *bytes(16)][:16]))
    policy = evolve(OPENED, allowed_networks=(prefix,), nat64_prefixes=(prefix,))
    expected = evaluate_address(inside, CLOSED).kind
    assert evaluate_address(address, policy).kind is expected
    assert evaluate_url(f"http://[{address}]/", policy).kind is expected


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8", "64:ff9b::/97", "2001:db8::1/96", "x", ",64:ff9b::/96"]
)
def test_what_is_not_a_nat64_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"prefix|length"):
        parse_nat64_prefixes(text)
