"""aiohttp's connections: only to where the policy allows, and only ones that are clean."""

import socket
from ssl import SSLContext
from weakref import WeakSet

from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from notification_adapters.http.guard import judging_sockets
from notification_adapters.http.limits import IDLE
from notification_adapters.http.resolver import JudgingResolver
from notification_core.destinations import DestinationPolicy


class GuardedConnector(TCPConnector):
    """Judges the very address of each connect, whether it was looked up or stood in the URL.

    It has no limit of its own, since a request that waits here would use up its timeout: the
    dispatcher bounds what is in flight.
    """

    def __init__(
        self, policy: DestinationPolicy, resolver: JudgingResolver, ssl_context: SSLContext
    ) -> None:
        super().__init__(
            limit=0,
            keepalive_timeout=IDLE.total_seconds(),
            resolver=_Resolver(resolver),
            use_dns_cache=False,
            socket_factory=judging_sockets(policy),
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


class _Resolver(AbstractResolver):
    """Our look-ups as aiohttp asks for them."""

    def __init__(self, resolver: JudgingResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - always both families
    ) -> list[ResolveResult]:
        addresses = await self._resolver.addresses(host)
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Leave what is not aiohttp's alone: the sender closes it."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
