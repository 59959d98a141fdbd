"""Connections that lead only where the policy allows, and only ones that are clean."""

import socket
from collections.abc import Callable
from datetime import timedelta
from ssl import SSLContext
from weakref import WeakSet

from aiohttp import AddrInfoType, ClientRequest, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from notification_core.destinations import DestinationPolicy, check_address
from notification_core.errors import DestinationRefused

IDLE = timedelta(seconds=2)
"""How long a connection is kept for a next request: less than most servers keep theirs."""


class DestinationDenied(OSError):
    """An address that the policy refuses: to aiohttp a connect that failed."""


def judge(address: str, policy: DestinationPolicy) -> None:
    """Raise :class:`DestinationDenied`, in words for the customer, unless it is allowed."""
    try:
        check_address(address, policy)
    except DestinationRefused as refused:
        raise DestinationDenied(str(refused)) from refused


class GuardedConnector(TCPConnector):
    """Judges the very address of each connect, whether it was looked up or stood in the URL.

    It has no limit of its own, since a request that waits here would use up its timeout: the
    dispatcher bounds what is in flight.
    """

    def __init__(
        self, policy: DestinationPolicy, resolver: AbstractResolver, ssl_context: SSLContext
    ) -> None:
        super().__init__(
            limit=0,
            keepalive_timeout=IDLE.total_seconds(),
            resolver=resolver,
            use_dns_cache=False,
            socket_factory=_judging_sockets(policy),
            ssl=ssl_context,
        )
        self._used = WeakSet[ResponseHandler]()

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - the overridden method's
    ) -> Connection:
        """Return a connection on which nothing has come since its last response.

        What a server sends while the connection is idle (a 408 before it closes, a second
        response) would be taken for the answer to the next request.
        """
        connection = await super().connect(req, traces, timeout)
        while self._is_stale(connection):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        if connection.protocol is not None:
            self._used.add(connection.protocol)
        return connection

    def _is_stale(self, connection: Connection) -> bool:
        protocol = connection.protocol
        # One that is new is used whatever came: connecting again would never end where the
        # server always speaks first.
        return protocol is not None and protocol.should_close and protocol in self._used


def _judging_sockets(policy: DestinationPolicy) -> Callable[[AddrInfoType], socket.socket]:
    def open_socket(destination: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = destination
        judge(str(address[0]), policy)
        return socket.socket(family, kind, protocol)

    return open_socket
