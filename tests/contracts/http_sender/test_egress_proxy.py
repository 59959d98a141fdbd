"""How every HTTP sender sends where all requests leave through the operator's proxy."""

import ssl
import time
from base64 import b64encode

import pytest

from notification_adapters.http.destination_guard import system_trust
from notification_adapters.http.proxy import EgressProxy
from notification_adapters.http.resolver import NameNotFound
from notification_core.model.delivery import ErrorCode
from notification_core.model.destinations import DestinationPolicy
from notification_core.ports.sender import HttpSender
from tests.support.certificates import Authority
from tests.support.egress_proxy import ForwardProxy
from tests.support.raw_receivers import NO_CONTENT, Act, RawReceiver, closes, hangs, resets, says
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.sending import EMPTY, OK, SHORT, MakeSender, Names, assert_on_time, failure, send

NOTHING_OPEN = DestinationPolicy()
NAME = "receiver.example"
CREDENTIALS = b64encode(b"sender:s3cret").decode()


def at(proxy: ForwardProxy | RawReceiver | Receiver) -> EgressProxy:
    return EgressProxy(LOOPBACK, proxy.port)


@pytest.fixture
def certified(authority: Authority) -> ssl.SSLContext:
    return authority.server(NAME)


@pytest.fixture
def trust(authority: Authority) -> ssl.SSLContext:
    return authority.trusted_by(system_trust())


# What goes through


async def test_a_plain_request_names_its_whole_url_to_the_proxy(make_sender: MakeSender) -> None:
    async with ForwardProxy() as proxy, RawReceiver(says(NO_CONTENT)) as receiver:
        sender = make_sender(NOTHING_OPEN, names=Names(), proxy=at(proxy))
        url = f"http://{NAME}:{receiver.port}/hook/%7e?a=b%2F"
        assert (await send(sender, url)).http_code == 204
        (request,) = receiver.requests
    (head,) = proxy.heads
    assert head.startswith(f"POST {url} HTTP/1.1\r\n")
    assert f"\r\nHost: {NAME}:{receiver.port}\r\n" in head
    assert request.startswith(b"POST /hook/%7e?a=b%2F HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("host", [NAME, f"{NAME}."])
async def test_an_encrypted_request_goes_through_a_tunnel_to_the_name(
    make_sender: MakeSender, certified: ssl.SSLContext, trust: ssl.SSLContext, host: str
) -> None:
    async with ForwardProxy() as proxy, Receiver(ssl_context=certified) as receiver:
        sender = make_sender(NOTHING_OPEN, names=Names(), proxy=at(proxy), ssl_context=trust)
        assert (await send(sender, f"https://{host}:{receiver.port}/hook")).http_code == 200
        (request,) = receiver.requests
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {NAME}")
    assert f":{receiver.port} HTTP/1.1\r\n" in head
    assert request.headers["Host"] == f"{NAME}:{receiver.port}"
    assert request.path == "/hook"
    assert b"hook" not in proxy.seen
    assert proxy.seen


@pytest.mark.parametrize("encrypted", [False, True])
async def test_the_proxys_credentials_are_told_to_the_proxy_alone(
    make_sender: MakeSender, certified: ssl.SSLContext, trust: ssl.SSLContext, *, encrypted: bool
) -> None:
    context = certified if encrypted else None
    async with ForwardProxy() as proxy, RawReceiver(says(NO_CONTENT), ssl_context=context) as there:
        opened = EgressProxy(LOOPBACK, proxy.port, f"Basic {CREDENTIALS}")
        sender = make_sender(NOTHING_OPEN, proxy=opened, ssl_context=trust)
        assert (await send(sender, there.url_of(NAME))).http_code == 204
        (request,) = there.requests
    (head,) = proxy.heads
    assert f"\r\nProxy-Authorization: Basic {CREDENTIALS}\r\n" in head
    assert b"authorization" not in request.lower()
    assert "s3cret" not in repr(opened) + str(opened)
    assert CREDENTIALS not in repr(opened) + str(opened)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_connection_through_the_proxy_is_used_again(
    make_sender: MakeSender, certified: ssl.SSLContext, trust: ssl.SSLContext, *, encrypted: bool
) -> None:
    context = certified if encrypted else None
    async with ForwardProxy() as proxy, RawReceiver(says(NO_CONTENT), ssl_context=context) as there:
        sender = make_sender(NOTHING_OPEN, proxy=at(proxy), ssl_context=trust)
        for _ in range(3):
            assert (await send(sender, there.url_of(NAME))).http_code == 204
        assert len(there.requests) == 3
    assert len(proxy.heads) == 1


async def test_the_proxys_own_name_is_all_that_is_looked_up(make_sender: MakeSender) -> None:
    names = Names([LOOPBACK])
    async with ForwardProxy() as proxy, RawReceiver(says(NO_CONTENT)) as receiver:
        through = EgressProxy("out.internal", proxy.port)
        sender = make_sender(NOTHING_OPEN, names=names, proxy=through)
        assert (await send(sender, receiver.url_of(NAME))).http_code == 204
    assert names.asked == ["out.internal."]


# What does not


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "a.internal"]
)
async def test_a_url_that_is_refused_does_not_get_as_far_as_the_proxy(
    make_sender: MakeSender, host: str
) -> None:
    async with RawReceiver(says(NO_CONTENT)) as proxy:
        sender = make_sender(NOTHING_OPEN, proxy=at(proxy))
        for scheme in ("http", "https"):
            error = await failure(sender, f"{scheme}://{host}:8080/")
            assert error.code is ErrorCode.DESTINATION_NOT_ALLOWED
        assert proxy.connections == 0


async def test_a_certificate_is_checked_through_the_tunnel(
    make_sender: MakeSender, authority: Authority, trust: ssl.SSLContext
) -> None:
    server = authority.server("other.example")
    async with ForwardProxy() as proxy, Receiver(ssl_context=server) as receiver:
        sender = make_sender(NOTHING_OPEN, proxy=at(proxy), ssl_context=trust)
        error = await failure(sender, f"https://{NAME}:{receiver.port}/")
        assert receiver.requests == []
    assert error.code is ErrorCode.TLS
    assert "for another host name" in error.message


@pytest.mark.parametrize(
    "response",
    [
        says(b"HTTP/1.1 403 Forbidden\r\nX-Reason: 10.0.0.1 is ours\r\n" + EMPTY),
        says(b"HTTP/1.1 407 Proxy Authentication Required\r\n" + EMPTY),
        says(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<h1>10.0.0.1</h1>"),
        says(b"nonsense\r\n\r\n"),
        says(OK + b"X: " + b"a" * 200_000),
        closes(),
        resets(),
    ],
    ids=["403", "407", "502", "no HTTP", "endless", "closed", "reset"],
)
async def test_a_tunnel_that_the_proxy_does_not_make_is_a_connect_error(
    make_sender: MakeSender, response: Act
) -> None:
    async with RawReceiver(response) as proxy:
        error = await failure(make_sender(NOTHING_OPEN, proxy=at(proxy)), f"https://{NAME}/")
        assert len(proxy.requests) == 1
    assert error.code is ErrorCode.CONNECT
    assert "10.0.0.1" not in error.message


async def test_a_proxy_that_wants_credentials_is_not_taken_for_the_receiver(
    make_sender: MakeSender,
) -> None:
    asks = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n" + EMPTY
    async with RawReceiver(says(asks)) as proxy:
        error = await failure(make_sender(NOTHING_OPEN, proxy=at(proxy)), f"http://{NAME}/")
    assert error.code is ErrorCode.CONNECT
    assert "proxy" in error.message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_hangs_is_left_at_the_timeout(
    make_sender: MakeSender, scheme: str
) -> None:
    async with RawReceiver(hangs) as proxy:
        began = time.monotonic()
        sender = make_sender(NOTHING_OPEN, proxy=at(proxy))
        error = await failure(sender, f"{scheme}://{NAME}/", SHORT)
    assert_on_time(began)
    assert error.code is ErrorCode.TIMEOUT


@pytest.fixture(params=["down", "unknown"])
async def unreachable(request: pytest.FixtureRequest, make_sender: MakeSender) -> HttpSender:
    """Make a sender whose proxy is not there, or has a name that nobody knows."""
    async with Receiver() as receiver:
        await receiver.down()
        host = LOOPBACK if request.param == "down" else "out.internal"
        proxy = EgressProxy(host, receiver.port)
    return make_sender(NOTHING_OPEN, names=Names(NameNotFound("No such name.")), proxy=proxy)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_unavailable_proxy_is_not_logged_as_the_receivers_failure(
    unreachable: HttpSender, scheme: str
) -> None:
    error = await failure(unreachable, f"{scheme}://{NAME}/")
    assert error.code is ErrorCode.CONNECT
    assert error.message == "The proxy that requests leave through cannot be reached."
