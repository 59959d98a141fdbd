"""Connections that lead only where the policy allows, and only ones that are clean."""

import socket
from collections.abc import Callable
from datetime import timedelta
from ssl import SSLContext

from aiohttp import AddrInfoType, ClientRequest, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver
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

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - the overridden method's
    ) -> Connection:
        """Return a connection on which nothing waits to be read.

        What a server sent while the connection was idle (a 408 before it closes, a second
        response) would be taken for the answer to the next request.
        """
        connection = await super().connect(req, traces, timeout)
        while connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            connection = await super().connect(req, traces, timeout)
        return connection


def _judging_sockets(policy: DestinationPolicy) -> Callable[[AddrInfoType], socket.socket]:
    def open_socket(destination: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = destination
        judge(str(address[0]), policy)
        return socket.socket(family, kind, protocol)

    return open_socket
