"""A real name server on loopback, for what asks one over the wire."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import cast

from tests.support.receivers import LOOPBACK

A, AAAA = 1, 28
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3


class NameServer(asyncio.DatagramProtocol):
    """A name server on loopback that knows what it is told, and remembers what it was asked.

    Without a code it never answers.
    """

    def __init__(self, addresses: Sequence[str], code: int | None = NO_ERROR) -> None:
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
        if self._code is None:
            return
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
async def name_server(*addresses: str, code: int | None = NO_ERROR) -> AsyncIterator[NameServer]:
    """Serve these addresses for every name."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(addresses, code), local_addr=(LOOPBACK, 0)
    )
    try:
        yield server
    finally:
        transport.close()
