"""Which destinations are allowed, denied and rejected, and what the customer is told."""

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import ada_url
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from yarl import URL

from notification_core.errors import DestinationRefused
from notification_core.model.destinations import (
    Destination,
    DestinationPolicy,
    DestinationVerdictKind,
    check_address,
    check_url,
    evaluate_address,
    evaluate_url,
    parse_hosts,
    parse_networks,
)
from notification_core.model.nat64 import WELL_KNOWN_PREFIX
from tests.support.vectors import vectors

VECTORS = vectors("ssrf")
STRICT = DestinationPolicy()
LOOPBACK = DestinationPolicy(allowed_networks=parse_networks("127.0.0.0/8, ::1/128"))

FETCH_BAD_PORTS = [1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566]
FETCH_BAD_PORTS += [6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080]


def reason(url: str, policy: DestinationPolicy = STRICT) -> str:
    return evaluate_url(url, policy).reason


@pytest.mark.parametrize("vector", VECTORS["urls"], ids=lambda vector: repr(vector["url"]))
def test_every_url_of_the_contract_gets_its_verdict_and_reason(vector: dict[str, str]) -> None:
    verdict = evaluate_url(vector["url"], STRICT)

    assert (verdict.kind, verdict.reason) == (vector["expect"], vector["reason"])


@pytest.mark.parametrize("vector", VECTORS["ips"], ids=lambda vector: vector["ip"])
def test_every_address_of_the_contract_gets_its_verdict(vector: dict[str, str]) -> None:
    assert evaluate_address(vector["ip"], STRICT).reason == vector["verdict"]


@pytest.mark.parametrize("vector", VECTORS["urls"], ids=lambda vector: repr(vector["url"]))
def test_check_url_raises_for_exactly_what_is_not_allowed(vector: dict[str, str]) -> None:
    if vector["expect"] == "allow":
        check_url(vector["url"], STRICT)
    else:
        with pytest.raises(DestinationRefused):
            check_url(vector["url"], STRICT)


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("http://Example.com", Destination("http", "example.com", 80)),
        (
            "https://example.com?x=http://10.0.0.1/",
            Destination("https", "example.com", 443, target="/?x=http://10.0.0.1/"),
        ),
        (
            "https://example.com.:8443/a//b/../C%2f?",
            Destination("https", "example.com.", 8443, target="/a//b/../C%2f?"),
        ),
        ("HTTP://8.8.8.8:80/", Destination("http", "8.8.8.8", 80, IPv4Address("8.8.8.8"))),
        (
            "https://[2606:4700:4700::1111]:443/",
            Destination("https", "2606:4700:4700::1111", 443, IPv6Address("2606:4700:4700::1111")),
        ),
    ],
)
def test_an_allowed_url_comes_with_its_parts(url: str, destination: Destination) -> None:
    assert evaluate_url(url, STRICT).destination == destination
    assert check_url(url, STRICT) == destination


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://Example.com:80/", "example.com"),
        ("https://example.com:443", "example.com"),
        ("https://example.com:80", "example.com:80"),
        ("https://example.com.:8443/", "example.com:8443"),
        ("https://[2606:4700:4700::1111]/", "[2606:4700:4700::1111]"),
        ("http://[2606:4700:4700::1111]:8080/", "[2606:4700:4700::1111]:8080"),
    ],
)
def test_the_authority_is_what_the_host_header_says(url: str, authority: str) -> None:
    assert check_url(url, STRICT).authority == authority


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/" + "a" * 2029, "reject:length"),
        ("https://example.com/" + "a" * 2028, "allow(dns)"),
        ("https://example.com/a%2", "reject:pct"),
        ("https://example.com/?q[]=1", "reject:brackets"),
        ("https://example.com/\x7f", "reject:charset"),
        ("https://example.com/\n", "reject:charset"),
        ("https://user:password@example.com/", "reject:userinfo"),
        ("https://example.com:080/", "reject:port"),
        ("https://example.com:00/", "reject:port"),
        ("https://example.com:" + "9" * 2000 + "/", "reject:port"),
        ("https://example.com:+80/", "reject:authority"),
        ("https://:80/", "reject:authority"),
        ("https://?x", "reject:authority"),
        ("https://[::1]:/", "reject:ipv6-literal"),
        ("https://[]/", "reject:ipv6-literal"),
        ("https://./", "reject:hostname"),
        ("https://a..example.com/", "reject:hostname"),
        ("https://a-.example.com/", "reject:hostname"),
        ("https://a!b.example.com/", "reject:hostname"),
        ("https://" + "a" * 64 + ".example.com/", "reject:hostname"),
        ("https://" + "a" * 63 + ".example.com/", "allow(dns)"),
        ("https://" + "a." * 125 + "com./", "allow(dns)"),
        ("https://" + "a." * 126 + "com/", "reject:hostname"),
        ("https://example.0X7F/", "reject:noncanonical-ip"),
        ("https://1.2.3/", "reject:noncanonical-ip"),
        ("https://[2606:4700:4700:0:0:0:0:1111]/", "reject:noncanonical-ip"),
        ("https://[::ffff:808:808]/", "reject:noncanonical-ip"),
        ("https://[2606:4700:4700::ABCD]/", "allow"),
    ],
)
def test_the_limits_of_a_url(url: str, expected: str) -> None:
    assert reason(url) == expected


@pytest.mark.parametrize("port", [*FETCH_BAD_PORTS, 1, 21, 79, 81, 442, 444, 1023])
def test_a_port_of_another_protocol_is_denied(port: int) -> None:
    assert reason(f"https://example.com:{port}/") == "deny:port"


@pytest.mark.parametrize("port", [80, 443, 1024, 8080, 10081, 65535])
def test_a_port_for_the_web_is_allowed(port: int) -> None:
    assert reason(f"https://example.com:{port}/") == "allow(dns)"


@pytest.mark.parametrize(
    "suffix",
    """
    localhost local internal intranet lan home corp private home.arpa onion invalid consul
    localdomain
    """.split(),  # noqa: SIM905 - so many names read better as a paragraph
)
def test_names_of_private_networks_are_denied_with_all_below_them(suffix: str) -> None:
    assert reason(f"https://a.b.{suffix}/") == "deny:name"
    assert reason(f"https://a.{suffix.upper()}./") == "deny:name"
    assert reason(f"https://{suffix}/") in {"deny:name", "deny:single-label"}
    assert reason(f"https://{suffix}.example.com/") == "allow(dns)"
    assert reason(f"https://a.not{suffix}/") == "allow(dns)"


def test_an_allowed_host_opens_its_name_alone() -> None:
    policy = DestinationPolicy(allowed_hosts=parse_hosts("redis, Hooks.Corp."))

    assert reason("http://redis/", policy) == "allow(dns)"
    assert reason("http://HOOKS.corp./", policy) == "allow(dns)"
    assert reason("http://a.hooks.corp/", policy) == "deny:name"
    assert reason("http://nothooks.corp/", policy) == "deny:name"


def test_an_allowed_suffix_opens_what_is_below_it_at_any_depth() -> None:
    policy = DestinationPolicy(allowed_hosts=parse_hosts("*.svc.cluster.local"))

    assert reason("http://a.svc.cluster.local/", policy) == "allow(dns)"
    assert reason("http://a.b.svc.cluster.local/", policy) == "allow(dns)"
    assert reason("http://svc.cluster.local/", policy) == "deny:name"
    assert reason("http://asvc.cluster.local/", policy) == "deny:name"


def test_an_allowed_host_opens_no_address() -> None:
    policy = DestinationPolicy(allowed_hosts=("redis",))

    assert evaluate_address("10.0.0.1", policy).reason == "deny:10.0.0.0/8"


def test_an_allowed_network_opens_its_literals_and_addresses_alone() -> None:
    policy = DestinationPolicy(allowed_networks=parse_networks("10.1.0.0/16,fd00:1::/32"))

    assert reason("http://10.1.2.3:8080/", policy) == "allow"
    assert reason("http://[fd00:1::5]/", policy) == "allow"
    assert evaluate_address("10.1.2.3", policy).kind is DestinationVerdictKind.ALLOW
    assert evaluate_address(IPv6Address("fd00:1::5"), policy).kind is DestinationVerdictKind.ALLOW
    assert evaluate_address("10.2.0.1", policy).reason == "deny:10.0.0.0/8"
    assert evaluate_address("fd00:2::5", policy).reason == "deny:not-2000::/3"


def test_an_ipv4_mapped_address_is_checked_as_the_ipv4_address_that_it_connects_to() -> None:
    policy = DestinationPolicy(allowed_networks=parse_networks("10.1.0.0/16"))

    assert evaluate_address("::ffff:10.1.2.3", policy).reason == "allow"
    assert reason("http://[::ffff:10.1.2.3]/", policy) == "allow"
    assert evaluate_address("::ffff:10.2.0.1", policy).reason == "deny:10.0.0.0/8"
    assert evaluate_address("::ffff:127.0.0.1", policy).reason == "deny:127.0.0.0/8"


def test_ipv6_opened_as_a_whole_does_not_open_mapped_ipv4() -> None:
    policy = DestinationPolicy(allowed_networks=parse_networks("::/0"))

    assert evaluate_address("::ffff:127.0.0.1", policy).reason == "deny:127.0.0.0/8"


def test_ports_are_checked_in_an_allowed_network_as_everywhere() -> None:
    assert reason("http://127.0.0.1:22/", LOOPBACK) == "deny:port"
    assert reason("http://127.0.0.1:0/", LOOPBACK) == "reject:port"
    assert reason("http://127.0.0.1:8080/", LOOPBACK) == "allow"


def test_an_opened_address_must_still_be_written_canonically() -> None:
    assert reason("http://[0:0:0:0:0:0:0:1]/", LOOPBACK) == "reject:noncanonical-ip"
    assert reason("http://127.1/", LOOPBACK) == "reject:noncanonical-ip"


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.1", "::1", "0.0.0.0/0"])
def test_localhost_is_open_where_loopback_is(network: str) -> None:
    policy = DestinationPolicy(allowed_networks=parse_networks(network))

    assert reason("http://localhost:8080/", policy) == "allow(dns)"
    assert reason("http://LocalHost./", policy) == "allow(dns)"
    assert reason("http://app.localhost/", policy) == "allow(dns)"
    assert reason("http://localhost.local/", policy) == "deny:name"
    assert reason("http://redis/", policy) == "deny:single-label"


def test_localhost_stays_closed_where_only_another_network_is_open() -> None:
    policy = DestinationPolicy(allowed_networks=parse_networks("10.0.0.0/8"))

    assert reason("http://localhost/", policy) == "deny:single-label"


def test_plain_http_is_denied_where_https_is_required() -> None:
    policy = DestinationPolicy(require_https=True)

    assert reason("http://example.com/", policy) == "deny:http"
    assert reason("https://example.com/", policy) == "allow(dns)"


@pytest.mark.parametrize("address", ["", "nonsense", "1.2.3", "0x7f000001", "127.0.0.1:80"])
def test_what_is_no_address_is_not_connected_to(address: str) -> None:
    assert evaluate_address(address, LOOPBACK).kind is DestinationVerdictKind.REJECT
    with pytest.raises(DestinationRefused):
        check_address(address, LOOPBACK)


def test_a_zone_allows_nothing() -> None:
    assert evaluate_address("fe80::1%eth0", STRICT).kind is DestinationVerdictKind.DENY


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://user@example.com/", "user name"),
        ("ftp://example.com/", "http or https"),
        ("https://example.com:25/", "80, 443"),
        ("https://example.com/ x", "%XX"),
        ("https://redis/", "public host name"),
        ("https://127.1/", "four decimal numbers"),
        ("https://10.0.0.1/", "public address"),
    ],
)
def test_the_customer_is_told_what_would_be_right(url: str, told: str) -> None:
    with pytest.raises(DestinationRefused, match=told):
        check_url(url, STRICT)


def test_the_customer_is_not_told_what_is_inside_the_network() -> None:
    with pytest.raises(DestinationRefused) as one:
        check_address("169.254.169.254", STRICT)
    with pytest.raises(DestinationRefused) as other:
        check_address("fd00::1", STRICT)

    assert str(one.value) == str(other.value)
    assert "169" not in str(one.value)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_list_allows_nothing(text: str) -> None:
    assert parse_networks(text) == ()
    assert parse_hosts(text) == ()


def test_networks_are_read_from_a_comma_list() -> None:
    assert parse_networks(" 127.0.0.0/8 ,10.0.0.7, ::1/128") == (
        ip_network("127.0.0.0/8"),
        ip_network("10.0.0.7/32"),
        ip_network("::1/128"),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.1/8", "host bits set"),
        ("127.0.0.0/8,", "'' is no network"),
        ("localhost", "'localhost' is no network"),
        ("10.0.0.0/8 127.0.0.0/8", "is no network"),
        ("fe80::%eth0/64", "zone"),
        ("::ffff:127.0.0.0/104", "as an IPv4 network"),
    ],
)
def test_a_wrong_network_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_networks(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://example.com", "no host name"),
        ("example.com:80", "no host name"),
        ("*", "no host name"),
        ("a.*.com", "no host name"),
        ("*.", "no host name"),
        ("a,,b", "'' is no host name"),
        ("bücher.example", "no host name"),
        ("10.0.0.1", "open it as a network"),
    ],
)
def test_a_wrong_host_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_hosts(text)


# What follows bends good URLs with all that has ever fooled a parser.
PIECES = [
    *("http", "https", "HTTP", "ftp", "://", ":/", ":///", "/", "//", "\\", "?", "#", "@", ":"),
    *("example.com", "Example.COM.", "localhost", "xn--fa-hia.de", "xn--", "a_b", "-", ".", ".."),
    *("127.0.0.1", "8.8.8.8", "08.8.8.8", "127.1", "0x7f.1", "2130706433", "1.1.1.1.", "0"),
    *("[::1]", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "[::ffff:7f00:1]", "[", "]", "%25", "%"),
    *("80", "443", "8443", "080", "99999", "22", "\t", "\n", "\0", " ", "é", "。", "⓪", "[]=1"),
]
HOSTS = (
    st.from_regex(r"([a-z0-9_-]{1,9}\.){0,3}[a-z0-9x]{1,9}\.?", fullmatch=True)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map("[{}]".format)
    | st.sampled_from(PIECES)
    | st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
)
# RFC 3986, appendix B, with its groups named.
RFC_3986 = re.compile(
    r"(?P<scheme>[^:/?#]+):(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?:\?[^#]*)?(?:#.*)?",
    re.DOTALL,
)
PORTS = st.just("") | st.integers(0, 70000).map(":{}".format)
PATHS = st.lists(st.sampled_from(["/", "?", *PIECES]), max_size=3).map("".join)
URLS = st.tuples(st.sampled_from(["http://", "HTTPS://"]), HOSTS, PORTS, PATHS).map("".join)
POLICIES = st.sampled_from([STRICT, LOOPBACK, DestinationPolicy(allowed_hosts=("*.com", "a"))])


@st.composite
def bent(draw: st.DrawFn) -> str:
    """Return a URL with one piece put in anywhere."""
    url = draw(URLS)
    at = draw(st.integers(0, len(url)))
    return url[:at] + draw(st.sampled_from(PIECES)) + url[at:]


@given(url=URLS | bent(), policy=POLICIES)
def test_no_reader_disagrees_about_an_allowed_urls_host_and_port(
    url: str, policy: DestinationPolicy
) -> None:
    destination = evaluate_url(url, policy).destination
    if destination is None:
        return
    default = {"http": 80, "https": 443}[destination.scheme]
    standard, aiohttps = urlsplit(url), URL(url)

    assert (standard.scheme, standard.port or default) == (destination.scheme, destination.port)
    assert standard.hostname == destination.host
    assert (aiohttps.scheme, aiohttps.port) == (destination.scheme, destination.port)
    if destination.address is None:
        assert aiohttps.raw_host == destination.host
    else:
        assert ip_address(aiohttps.raw_host or "") == destination.address


@given(url=URLS | bent(), policy=POLICIES)
def test_browsers_and_rfc_3986_read_an_allowed_url_as_we_do(
    url: str, policy: DestinationPolicy
) -> None:
    destination = evaluate_url(url, policy).destination
    if destination is None:
        return
    browsers, rfc = ada_url.URL(url), RFC_3986.fullmatch(url)
    assert rfc
    host, _, port = rfc["authority"].lower().partition("]" if "[" in rfc["authority"] else ":")
    default = {"http": 80, "https": 443}[destination.scheme]

    assert browsers.protocol == f"{rfc['scheme']}:".lower() == f"{destination.scheme}:"
    assert int(browsers.port or default) == int(port.strip(":") or default) == destination.port
    assert browsers.username == browsers.password == browsers.hash == ""
    if destination.address is None:
        assert browsers.hostname == host == destination.host
    else:
        assert ip_address(browsers.hostname.strip("[]")) == destination.address
        assert ip_address(host.strip("[]")) == destination.address


@given(url=URLS | bent(), policy=POLICIES)
def test_no_allowed_url_is_an_address_outside_the_policy_to_the_system(
    url: str, policy: DestinationPolicy
) -> None:
    destination = evaluate_url(url, policy).destination
    if destination is None or (address := systems_address(destination.host)) is None:
        return

    assert destination.address is not None
    assert evaluate_address(address, policy).kind is DestinationVerdictKind.ALLOW


def systems_address(host: str) -> str | None:
    """Return the address that the system reads out of a host, with nothing looked up.

    It takes ``0x7f.1`` and ``2130706433`` for loopback, and so do its DNS lookups.
    """
    for family, read in ((socket.AF_INET, socket.inet_aton), (socket.AF_INET6, pton6)):
        try:
            return socket.inet_ntop(family, read(host))
        except OSError:
            continue
    return None


def pton6(host: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, host)


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "017700000001"])
def test_what_the_system_reads_as_loopback_is_not_allowed(host: str) -> None:
    assert systems_address(host) == "127.0.0.1"
    assert evaluate_url(f"http://{host}/", STRICT).kind is DestinationVerdictKind.REJECT


@given(st.text())
def test_no_text_upsets_the_check(text: str) -> None:
    assert evaluate_url(text, STRICT).kind in DestinationVerdictKind
    assert evaluate_address(text, STRICT).kind in DestinationVerdictKind


@given(st.ip_addresses())
def test_a_literal_in_a_url_is_checked_like_the_address(
    address: IPv4Address | IPv6Address,
) -> None:
    literal = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped
    assume(not mapped)
    assume(address not in WELL_KNOWN_PREFIX)  # a name may lead there, and a URL may not

    assert reason(f"https://{literal}/") == evaluate_address(address, STRICT).reason
