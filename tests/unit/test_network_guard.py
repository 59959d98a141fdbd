"""The guard that keeps the tests on this host."""

import asyncio
import socket
from collections.abc import Iterator

import aiodns
import pytest
import uvloop

from tests.support.network_guard import NetworkGuard, OutsideConnection

OUTSIDE = "192.0.2.1"
NAME = "receiver.example.com"


@pytest.fixture
def refused(network_guard: NetworkGuard) -> Iterator[list[str]]:
    """Show what the guard refused, and forget it: these tests do it on purpose."""
    yield network_guard.refused
    network_guard.refused.clear()


@pytest.mark.parametrize("address", [OUTSIDE, "10.0.0.1", "0.0.0.0", "169.254.169.254", NAME])  # noqa: S104 (nothing is bound)
def test_a_connection_elsewhere_is_refused_and_remembered(address: str, refused: list[str]) -> None:
    with socket.socket() as sock, pytest.raises(OutsideConnection):
        sock.connect((address, 80))
    assert refused == [f"connect to {address!r}"]


def test_a_connection_elsewhere_is_refused_for_ipv6_too(refused: list[str]) -> None:
    with socket.socket(socket.AF_INET6) as sock, pytest.raises(OutsideConnection):
        sock.connect_ex(("::ffff:192.0.2.1", 80))
    assert refused


def test_a_datagram_elsewhere_is_refused(refused: list[str]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(OutsideConnection):
            sock.sendto(b"", (OUTSIDE, 53))
        with pytest.raises(OutsideConnection):
            sock.sendmsg([b""], [], 0, (OUTSIDE, 53))
    assert len(refused) == 2


async def test_a_look_up_through_the_loop_is_refused(refused: list[str]) -> None:
    with pytest.raises(OutsideConnection):
        await asyncio.get_running_loop().getaddrinfo(NAME, 80)
    assert refused == [f"look up {NAME!r}"]


def test_uvloop_is_refused_alike(refused: list[str]) -> None:
    async def connect(host: str) -> None:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, 80)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for host in (OUTSIDE, NAME):
            with pytest.raises(OutsideConnection):
                runner.run(connect(host))
    assert len(refused) == 2


async def test_c_ares_is_refused_alike(refused: list[str]) -> None:
    async with aiodns.DNSResolver(["192.0.2.53"]) as resolver:
        with pytest.raises(OutsideConnection):
            await resolver.getaddrinfo(NAME)
    assert refused


async def test_loopback_stays_open() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "localhost", 0)
    async with server:
        for sock in server.sockets:
            _, writer = await asyncio.open_connection(*sock.getsockname()[:2])
            writer.close()
            await writer.wait_closed()


def test_unix_sockets_stay_open() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.sendall(b"hello")
        assert far.recv(5) == b"hello"
