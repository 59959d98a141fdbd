"""What is special to the sender on aiohttp, and the name service that it asks."""

import asyncio
import struct
import time
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address, ip_network
from socket import gethostname
from typing import cast

import pytest
import uvloop

from notification_adapters.http.guard import IDLE
from notification_adapters.http.resolver import Dns, LookupFailed, NameNotFound
from notification_adapters.http.sender import AiohttpSender
from notification_core.deliveries import ErrorCode
from notification_core.destinations import DestinationPolicy
from notification_core.ports.sender import HttpRequest, SendingFailed
from notification_core.webhooks import Method
from tests.raw_receivers import NO_CONTENT, RawReceiver, closes, says
from tests.receivers import LOOPBACK

LOOPBACK_OPEN = DestinationPolicy(allowed_networks=(ip_network("127.0.0.0/8"),))
NOTHING_OPEN = DestinationPolicy()
ENOUGH = timedelta(seconds=10)
A, AAAA = 1, 28
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3


# The second wall: each connect is judged, whatever was judged before


@asynccontextmanager
async def aiohttp_sender(policy: DestinationPolicy) -> AsyncIterator[AiohttpSender]:
    sender = AiohttpSender(policy)
    yield sender
    await sender.close()


async def test_a_literal_address_is_judged_again_when_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("notification_adapters.http.sender.check_url", lambda *_: None)
    async with RawReceiver(says(NO_CONTENT)) as receiver, aiohttp_sender(NOTHING_OPEN) as sender:
        with pytest.raises(SendingFailed) as failed:
            await sender.send(request_to(receiver.url), ENOUGH)
        assert receiver.connections == 0
    assert failed.value.error.code is ErrorCode.DESTINATION_NOT_ALLOWED


async def test_a_looked_up_address_is_judged_again_when_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LeadsInside(Dns):
        async def addresses(self, name: str) -> Sequence[str]:
            del name
            return [LOOPBACK]

    monkeypatch.setattr("notification_adapters.http.resolver.judge", lambda *_: None)
    sender = AiohttpSender(NOTHING_OPEN, names=LeadsInside())
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        with pytest.raises(SendingFailed) as failed:
            await sender.send(request_to(receiver.url_of("receiver.example")), ENOUGH)
        assert receiver.connections == 0
    assert failed.value.error.code is ErrorCode.DESTINATION_NOT_ALLOWED
    await sender.close()


# Connections


async def test_an_idle_connection_is_closed_after_two_seconds() -> None:
    async with RawReceiver(says(NO_CONTENT)) as receiver, aiohttp_sender(LOOPBACK_OPEN) as sender:
        await sender.send(request_to(receiver.url), ENOUGH)
        began = time.monotonic()
        await receiver.wait_for_end()
    assert 1 <= time.monotonic() - began < 3 * IDLE.total_seconds()


def test_a_server_that_speaks_first_is_not_connected_to_again_and_again() -> None:
    async def connections() -> int:
        greeting = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
        async with (
            RawReceiver(greeting=greeting, deaf=True) as receiver,
            aiohttp_sender(LOOPBACK_OPEN) as sender,
        ):
            await sender.send(request_to(receiver.url), ENOUGH)
            return receiver.connections

    # Here what was said first is there as soon as the connection is.
    assert uvloop.run(connections()) == 1


# Secrets


@pytest.mark.parametrize("answer", [b"no HTTP\r\n", b""])
async def test_a_failure_shows_no_header_and_no_body(answer: bytes) -> None:
    async with RawReceiver(closes(answer)) as receiver, aiohttp_sender(LOOPBACK_OPEN) as sender:
        headers = (("Authorization", "Bearer s3cret"),)
        request = HttpRequest(Method.POST, receiver.url, headers, b"s3cret")
        with pytest.raises(SendingFailed) as failed:
            await sender.send(request, ENOUGH)
    assert "s3cret" not in "".join(traceback.format_exception(failed.value)) + repr(request)


# Look-ups


class NameServer(asyncio.DatagramProtocol):
    """A name server on loopback that knows what it is told, and remembers what it was asked."""

    def __init__(self, addresses: Sequence[str], code: int = NO_ERROR) -> None:
        self.asked: list[tuple[str, int]] = []
        self.address = ""
        self._addresses = [ip_address(address).packed for address in addresses]
        self._code = code

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.address = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, kind, question = _question(data)
        self.asked.append((name, kind))
        found = [one for one in self._addresses if len(one) == (4 if kind == A else 16)]
        records = b"".join(
            struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(one)) + one for one in found
        )
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | self._code, 1, len(found), 0, 0)
        self._transport.sendto(head + question + records, addr)


def _question(data: bytes) -> tuple[str, int, bytes]:
    labels, at = [], 12
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return ".".join(labels), int.from_bytes(data[at + 1 : at + 3]), data[12 : at + 5]


@asynccontextmanager
async def name_server(*addresses: str, code: int = NO_ERROR) -> AsyncIterator[NameServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(addresses, code), local_addr=(LOOPBACK, 0)
    )
    yield server
    transport.close()


async def test_both_families_of_a_name_are_asked_for_and_nothing_is_appended_to_it() -> None:
    async with name_server("192.0.2.1", "192.0.2.2", "2001:db8::1") as server:
        names = Dns([server.address])
        addresses = await names.addresses("receiver.example.")
        await names.close()
    assert set(addresses) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
    assert set(server.asked) == {("receiver.example", A), ("receiver.example", AAAA)}


async def test_the_hosts_file_does_not_count() -> None:
    async with name_server("192.0.2.1") as server:
        names = Dns([server.address])
        assert await names.addresses(f"{gethostname()}.") == ["192.0.2.1"]
        await names.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [(NO_ERROR, NameNotFound), (NO_SUCH_NAME, NameNotFound), (SERVER_FAILURE, LookupFailed)],
)
async def test_a_look_up_that_fails_says_whether_the_name_is_wrong(
    code: int, error: type[LookupFailed]
) -> None:
    async with name_server(code=code) as server:
        names = Dns([server.address])
        with pytest.raises(LookupFailed) as failed:
            await names.addresses("receiver.example.")
        await names.close()
    assert type(failed.value) is error


async def test_a_name_service_that_was_never_asked_can_be_closed() -> None:
    await Dns().close()


def request_to(url: str) -> HttpRequest:
    return HttpRequest(Method.POST, url, (), b"{}")
