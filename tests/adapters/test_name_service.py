"""The name service that senders ask: what it asks in turn, and what it makes of the answer."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from socket import gethostname
from typing import cast

import pytest

from notification_adapters.http.resolver import Dns, LookupFailed, NameNotFound
from tests.receivers import LOOPBACK

A, AAAA = 1, 28
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3


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
