"""Ways to an origin: directly to where the policy allows, or through the operator's proxy."""

import asyncio
import re
import socket
from abc import abstractmethod
from typing import Protocol

from aiohappyeyeballs import AddrInfoType, start_connection

from notification_adapters.http import failures
from notification_adapters.http.destination_guard import guarded_sockets
from notification_adapters.http.messages import MAX_HEADER_BYTES
from notification_adapters.http.native.connection import HttpOrigin
from notification_adapters.http.phase_timer import PhaseTimer
from notification_adapters.http.proxy import EgressProxy
from notification_adapters.http.resolver import GuardedResolver
from notification_adapters.http.shortages import raising_shortages
from notification_core.model.destinations import DestinationPolicy
from notification_core.ports.sender import Phase

# RFC 8305, section 5: how long one address may take before the next is tried as well.
_HEAD_START = 0.25

_END = b"\r\n\r\n"
_OPENED = re.compile(rb"HTTP/1\.[01] 2[0-9]{2}[ \r]")


class Route(Protocol):
    """Opens sockets that lead to an origin."""

    @abstractmethod
    async def open(self, origin: HttpOrigin, timer: PhaseTimer) -> socket.socket:
        """Return a connected socket on which nothing was said yet; tell the timer of the phases.

        Raises ``OSError`` and :class:`SendingFailed`.
        """


class DirectRoute(Route):
    """Connects to an origin itself, where the policy allows."""

    def __init__(
        self,
        policy: DestinationPolicy,
        resolver: GuardedResolver,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._open_socket = guarded_sockets(policy)
        self._resolver = resolver
        self._loop = loop

    async def open(self, origin: HttpOrigin, timer: PhaseTimer) -> socket.socket:
        """Look the origin up and connect to the address that answers first."""
        addresses = [origin.host]
        if not origin.is_address:
            with timer.timing(Phase.DNS):
                addresses = [*await self._resolver.addresses(origin.host)]
        with timer.timing(Phase.CONNECT):
            return await start_connection(
                [_info(address, origin.port) for address in addresses],
                happy_eyeballs_delay=_HEAD_START,
                loop=self._loop,
                socket_factory=self._open_socket,
            )


class ProxyRoute(Route):
    """Has a proxy connect: for https to the origin, for http to what each request names."""

    def __init__(
        self, proxy: EgressProxy, to_proxy: DirectRoute, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._authorization = proxy.authorization
        self._proxy = HttpOrigin("http", proxy.host, proxy.port, is_address=_is_address(proxy.host))
        self._to_proxy = to_proxy
        self._loop = loop

    async def open(self, origin: HttpOrigin, timer: PhaseTimer) -> socket.socket:
        """Connect to the proxy, and have it make a tunnel where TLS will go through it."""
        try:
            with raising_shortages():
                connected = await self._to_proxy.open(self._proxy, timer)
        except OSError as error:
            raise failures.proxy_unreachable() from error
        if origin.scheme == "https":
            try:
                with timer.extending(Phase.CONNECT):
                    await self._tunnel(connected, origin)
            except BaseException:
                connected.close()
                raise
        return connected

    async def _tunnel(self, connected: socket.socket, origin: HttpOrigin) -> None:
        """Make the socket one to the origin (RFC 9110, section 9.3.6)."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host.removesuffix(".")
        lines = [
            f"CONNECT {host}:{origin.port} HTTP/1.1",
            f"Host: {host}:{origin.port}",
            *([f"Proxy-Authorization: {self._authorization}"] if self._authorization else []),
        ]
        head = bytearray()
        try:
            await self._loop.sock_sendall(connected, "\r\n".join(lines).encode() + _END)
            while _END not in head and len(head) <= MAX_HEADER_BYTES:
                piece = await self._loop.sock_recv(connected, 4096)
                if not piece:
                    break
                head += piece
        except OSError as error:
            raise failures.proxy_refused() from error
        # What follows the head would be the origin's, which does not speak first in TLS.
        if not (_OPENED.match(head) and head.endswith(_END)):
            raise failures.proxy_refused()


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False


def _info(address: str, port: int) -> AddrInfoType:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
