"""aiohttp's connections: only to where the policy allows, and only ones that are clean."""

import asyncio
import select
import socket
from collections.abc import Hashable
from contextvars import ContextVar
from functools import partial
from math import inf
from ssl import SSLContext
from time import monotonic
from typing import cast
from weakref import WeakSet

from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from notification_adapters.http.aiohttp.protocol import OneResponse
from notification_adapters.http.destination_guard import guarded_sockets
from notification_adapters.http.messages import IDLE
from notification_adapters.http.phase_timer import PhaseTimer
from notification_adapters.http.resolver import GuardedResolver
from notification_adapters.http.shortages import raising_shortages
from notification_core.model.destinations import DestinationPolicy
from notification_core.ports.sender import Phase

POOL_KEY: ContextVar[Hashable] = ContextVar("pool_key")
"""Whose requests may reuse the connection of the request that is made in this context."""

TIMER: ContextVar["OpeningTimer | None"] = ContextVar("timer")
"""What has measured the connection that was opened in this context; None if none was."""


class OpeningTimer(PhaseTimer):
    """Measures the opening of a connection by what aiohttp calls meanwhile.

    ``protocols_before_tls`` is how many protocols are made until the TLS handshake begins.
    """

    def __init__(self, protocols_before_tls: float) -> None:
        super().__init__()
        self.is_open = False
        self._protocols_before_tls = protocols_before_tls
        self._protocols = 0
        self._phase = Phase.CONNECT
        self._since = monotonic()

    def note_lookup(self) -> None:
        """Begin the first phase."""
        self._phase, self._since = Phase.DNS, monotonic()

    def note_addresses(self) -> None:
        """End the lookup."""
        self._begin(Phase.CONNECT)

    def note_protocol(self) -> None:
        """Begin the handshake, if there is one and the connection leads to the origin."""
        self._protocols += 1
        has_tls = self._protocols >= self._protocols_before_tls
        self._begin(Phase.TLS if has_tls else Phase.CONNECT)

    def note_end(self) -> None:
        """End the phase that there is, whether it ended well or not."""
        self._begin(self._phase)

    def _begin(self, phase: Phase) -> None:
        now = monotonic()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now


class GuardedConnector(TCPConnector):
    """Checks the very address of each connect, whether it was looked up or stood in the URL.

    It has no limit of its own, since a request that waits here would use up its timeout: the
    dispatcher bounds what is in flight.
    """

    def __init__(
        self, policy: DestinationPolicy, resolver: GuardedResolver, ssl_context: SSLContext
    ) -> None:
        super().__init__(
            limit=0,
            keepalive_timeout=IDLE.total_seconds(),
            resolver=_Resolver(resolver),
            use_dns_cache=False,
            socket_factory=guarded_sockets(policy),
            ssl=ssl_context,
        )
        self._used = WeakSet[ResponseHandler]()
        # Private, and the only way: what makes the protocol of a connection.
        made = partial(_protocol, asyncio.get_running_loop())
        self._factory = cast("partial[ResponseHandler]", made)

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - the overridden method's
    ) -> Connection:
        """Return a connection on which nothing has come since its last response.

        What a server sends while the connection is idle (a 408 before it closes, a second
        response) would be taken for the response to the next request.
        """
        with raising_shortages():
            connection = await super().connect(req, traces, timeout)
            while self._is_stale(connection):
                connection.close()
                connection = await super().connect(req, traces, timeout)
        if connection.protocol is not None:
            self._used.add(connection.protocol)
        return connection

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - the overridden method's
    ) -> ResponseHandler:
        """Open a connection, measured by what is then in ``TIMER``.

        Private, and cheaper than aiohttp's tracing: that takes calls for each request, and does
        not tell a TLS handshake from what is before it.
        """
        protocols_before_tls = inf if not req.is_ssl() else 2 if req.proxy else 1
        timer = OpeningTimer(protocols_before_tls)
        TIMER.set(timer)
        try:
            protocol = await super()._create_connection(req, traces, timeout)
            timer.is_open = True
            return protocol
        finally:
            timer.note_end()

    def _is_stale(self, connection: Connection) -> bool:
        protocol = connection.protocol
        # One that is new is used whatever came: connecting again would never end if the server
        # always speaks first.
        if protocol is None or protocol not in self._used:
            return False
        if protocol.should_close:
            return True
        # A busy loop may not have read what came, or seen that the connection was closed.
        transport = connection.transport
        raw = None if transport is None else transport.get_extra_info("socket")
        if raw is None or raw.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(raw.fileno(), select.POLLIN)
        return bool(poll.poll(0))


def _protocol(loop: asyncio.AbstractEventLoop) -> OneResponse:
    """Return the protocol of a connection whose socket is connected."""
    if timer := TIMER.get(None):
        timer.note_protocol()
    return OneResponse(loop=loop)


class PooledRequest(ClientRequest):
    """A request whose connection is reused only by requests with the same :data:`POOL_KEY`."""

    @property
    def connection_key(self) -> ConnectionKey:
        """Return what aiohttp's pool goes by, with our key in a part that it only compares.

        Not a hash of our key: of two environments' ids, hashes can be made equal.
        """
        key = super().connection_key
        shared = key.proxy_headers_hash, POOL_KEY.get()
        return key._replace(proxy_headers_hash=shared)  # type: ignore[arg-type] # nothing calculates with it


class _Resolver(AbstractResolver):
    """Our lookups as aiohttp asks for them."""

    def __init__(self, resolver: GuardedResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - always both families
    ) -> list[ResolveResult]:
        timer = TIMER.get(None)
        if timer is not None:
            timer.note_lookup()
        addresses = await self._resolver.addresses(host)
        if timer is not None:
            timer.note_addresses()
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Leave what is not aiohttp's alone: the sender closes it."""
