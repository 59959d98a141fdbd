"""The sender on a client of our own: a request as the bytes that go out, and what comes back."""

import asyncio
import ssl
from datetime import timedelta
from functools import lru_cache
from operator import itemgetter
from time import monotonic

from attrs import evolve, field, frozen

from notification_adapters.http.failures import proxy_refused, refused, timed_out
from notification_adapters.http.messages import MAX_CACHED_URLS, checked_names, invalid_value
from notification_adapters.http.native.connection import HttpOrigin
from notification_adapters.http.native.connector import Connector
from notification_adapters.http.native.pool import ConnectionPool
from notification_adapters.http.native.routes import DirectRoute, ProxyRoute, Route
from notification_adapters.http.phase_timer import PhaseTimer, phases_of
from notification_adapters.http.proxy import (
    ANYWHERE,
    PROXY_AUTHENTICATION_REQUIRED,
    EgressProxy,
)
from notification_adapters.http.resolver import Dns, GuardedResolver, NameService
from notification_core.errors import DestinationRefused
from notification_core.model.delivery import ReceivedResponse
from notification_core.model.destinations import Destination, DestinationPolicy, check_url
from notification_core.model.phases import REUSED, Phases
from notification_core.ports.sender import HttpRequest, HttpSender, OnPhase, Phase, SendingFailed

_NAME = itemgetter(0)
_VISIBLE = bytes(range(0x20, 0x7F))
_END_OF_LINE = "\r\n"
_END_OF_HEAD = ("", "")


@frozen
class Target:
    """What all requests to one URL have in common: ``path`` is what they ask for."""

    origin: HttpOrigin
    path: str = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)


class NativeSender(HttpSender):
    """Sends with a pool of HTTP/1.1 connections; to be made where an event loop runs.

    ``ssl_context`` takes the place of the system's store of certificates, ``names`` that of the
    system's name servers. If there is a ``proxy``, nothing else is connected to: the policy
    checks URLs, and which addresses names lead to is the proxy's business.
    ``on_phase`` is called with how long the phases of requests take.
    """

    def __init__(
        self,
        policy: DestinationPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        names: NameService | None = None,
        proxy: EgressProxy | None = None,
        on_phase: OnPhase | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._proxy = proxy
        self._on_phase = on_phase
        connecting = policy if proxy is None else ANYWHERE
        self._resolver = GuardedResolver(connecting, names or Dns())
        direct = DirectRoute(connecting, self._resolver, self._loop)
        route: Route = direct if proxy is None else ProxyRoute(proxy, direct, self._loop)
        connector = Connector(route, ssl_context, self._loop)
        self._pool = ConnectionPool(self._loop, connector.connect)
        self._target = lru_cache(MAX_CACHED_URLS)(
            lambda url: target_of(check_url(url, policy), proxy)
        )

    async def send(self, request: HttpRequest, timeout: timedelta) -> ReceivedResponse:  # noqa: ASYNC109 - the port's
        """Send one request; see the port.

        Raises :class:`InvalidInput` if a header would make something else of the request.
        """
        try:
            target = self._target(request.url)
        except DestinationRefused as error:
            raise refused(error) from error
        head = head_of(request, target)
        deadline = self._loop.time() + timeout.total_seconds()
        key = None if request.pool_key is None else (target.origin, request.pool_key)
        timer = None
        connection = self._pool.lend_idle(key, deadline)
        if connection is None:
            timer = PhaseTimer(self._on_phase)
            try:
                connection = await self._pool.open(target.origin, deadline, timer)
            except TimeoutError as error:
                raise _after(phases_of(timer), timed_out(timeout)) from error
            except SendingFailed as failure:
                failure.phases = phases_of(timer)
                raise
        sent_at = monotonic()
        try:
            outcome = await connection.request(head, request.body)
        finally:
            # Also if this is cancelled: what is not clean is not kept.
            self._pool.release(connection, key)
        first_byte_at = connection.first_byte_at
        phases: Phases | None = REUSED
        if self._on_phase is not None and first_byte_at:
            self._on_phase(Phase.FIRST_BYTE, max(0.0, first_byte_at - sent_at))
        if timer is not None or connection.is_split:
            now = monotonic()
            waited_until = first_byte_at or now
            phases = phases_of(timer, waited_until - sent_at, now - waited_until)
        if isinstance(outcome, TimeoutError):
            raise _after(phases, timed_out(timeout)) from outcome
        if isinstance(outcome, SendingFailed):
            raise _after(phases, outcome)
        if self._proxy and outcome.http_code == PROXY_AUTHENTICATION_REQUIRED:
            raise _after(phases, proxy_refused())
        return outcome if phases is REUSED else evolve(outcome, phases=phases)

    async def close(self) -> None:
        """Close idle connections, and end lookups that nobody waits for."""
        self._pool.close()
        await self._resolver.close()


def _after(phases: Phases | None, failure: SendingFailed) -> SendingFailed:
    """Return a failure with the phases that were before it."""
    failure.phases = phases
    return failure


def target_of(destination: Destination, proxy: EgressProxy | None = None) -> Target:
    """Return where requests to a URL that is allowed go, and what they ask for.

    A proxy is told the whole URL of what is not encrypted (RFC 9112, section 3.2.2), and not that
    of what is, nor the credentials that are its own.
    """
    origin = HttpOrigin(
        destination.scheme,
        destination.host,
        destination.port,
        is_address=destination.address is not None,
    )
    host = f"Host: {destination.authority}"
    if proxy is None or destination.scheme == "https":
        return Target(origin, destination.target, (host,))
    opening = [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []
    url = f"http://{destination.authority}{destination.target}"
    return Target(origin, url, (host, *opening))


def head_of(request: HttpRequest, target: Target) -> bytes:
    """Return all of a request that comes before its body.

    Raises :class:`InvalidInput` where a header would make something else of it.
    """
    headers = request.headers
    names = checked_names(tuple(map(_NAME, headers)))
    lines = [
        f"{request.method.upper()} {target.path} HTTP/1.1",
        *target.lines,
        "Accept-Encoding: identity",
        f"Content-Length: {len(request.body)}",
        *map(": ".join, headers),
    ]
    if "accept" not in names:
        lines.append("Accept: */*")
    lines += _END_OF_HEAD
    try:
        head = _END_OF_LINE.join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise invalid_value() from None
    # With all that may be seen taken out, what is left is the ends of the lines, each put there.
    if head.translate(None, _VISIBLE) != b"\r\n" * (len(lines) - 1):
        raise invalid_value()
    return head
