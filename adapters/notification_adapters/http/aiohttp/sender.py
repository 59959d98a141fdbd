"""The sender on aiohttp's client."""

import asyncio
import ssl
from datetime import timedelta
from functools import lru_cache, partial
from io import BytesIO
from time import monotonic

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from attrs import evolve
from yarl import URL

from notification_adapters.http.aiohttp.body import read
from notification_adapters.http.aiohttp.connector import (
    POOL_KEY,
    TIMER,
    GuardedConnector,
    PooledRequest,
)
from notification_adapters.http.aiohttp.failures import failure_of
from notification_adapters.http.destination_guard import system_trust
from notification_adapters.http.failures import proxy_refused, refused, timed_out
from notification_adapters.http.messages import (
    MAX_CACHED_URLS,
    MAX_HEADER_BYTES,
    checked_names,
    invalid_value,
    received,
)
from notification_adapters.http.phase_timer import phases_of
from notification_adapters.http.proxy import (
    ANYWHERE,
    PROXY_AUTHENTICATION_REQUIRED,
    EgressProxy,
)
from notification_adapters.http.resolver import Dns, GuardedResolver, NameService
from notification_core.errors import DestinationRefused
from notification_core.model.delivery import ReceivedResponse
from notification_core.model.destinations import DestinationPolicy, check_url
from notification_core.model.phases import REUSED, Phases
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed

_ADDED_BY_AIOHTTP = frozenset({"content-type", "user-agent"})

# aiohttp warns that a longer one blocks the loop; an event of 1 MiB in its envelope is longer.
_MAX_PLAIN_BODY = 2**20


class AiohttpSender(HttpSender):
    """Sends with a pool of HTTP/1.1 connections; to be made where an event loop runs.

    ``ssl_context`` takes the place of the system's store of certificates, ``names`` that of the
    system's name servers. With a ``proxy``, nothing else is connected to: the policy
    checks URLs, and which addresses names lead to is the proxy's business.
    """

    def __init__(
        self,
        policy: DestinationPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        names: NameService | None = None,
        proxy: EgressProxy | None = None,
    ) -> None:
        self._proxy = proxy
        connecting = policy if proxy is None else ANYWHERE
        self._resolver = GuardedResolver(connecting, names or Dns())
        connector = GuardedConnector(connecting, self._resolver, ssl_context or system_trust())
        self._session = _session(connector, proxy)
        opens = None if proxy is None else proxy.authorization
        self._opening = (("Proxy-Authorization", opens),) if opens else ()
        self._destination = lru_cache(MAX_CACHED_URLS)(partial(_destination, policy))

    async def send(self, request: HttpRequest, timeout: timedelta) -> ReceivedResponse:  # noqa: ASYNC109 - the port's
        """Send one request; see the port.

        Raises :class:`InvalidInput` where a header would make something else of the request.
        """
        try:
            url = self._destination(request.url)
        except DestinationRefused as error:
            raise refused(error) from error
        body = bytearray()
        response: ClientResponse | None = None
        start = monotonic()
        headers_at: float | None = None
        TIMER.set(None)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                response = await self._begin(request, url)
                headers_at = monotonic()
                complete = await read(response, body)
        except TimeoutError as error:
            if response is None:
                raise SendingFailed(timed_out(timeout).error, _phases(start)) from error
            complete = False
        except SendingFailed as failure:
            failure.phases = _phases(start, headers_at)
            raise
        finally:
            if response is not None and not response.closed:
                response.close()
        phases = _phases(start, headers_at)
        try:
            if self._proxy and response.status == PROXY_AUTHENTICATION_REQUIRED:
                raise proxy_refused()
            whole = received(response.status, response.raw_headers, bytes(body), complete=complete)
        except SendingFailed as failure:
            failure.phases = phases
            raise
        return whole if phases is REUSED else evolve(whole, phases=phases)

    async def close(self) -> None:
        """Close idle connections, and end lookups that nobody waits for."""
        await self._session.close()
        await self._resolver.close()

    async def _begin(self, request: HttpRequest, url: URL) -> ClientResponse:
        """Send the request, and return when the response's headers are there."""
        headers = request.headers
        names = checked_names(tuple([name for name, _ in headers]))
        # One of its own is equal to no other key.
        POOL_KEY.set(object() if request.pool_key is None else request.pool_key)
        values = "".join([value for _, value in headers])
        # Visible ASCII and spaces: no line can end.
        if not (values.isascii() and values.isprintable()):
            raise invalid_value()
        # The name whose certificate is awaited in a tunnel: aiohttp leaves the last dot on it.
        is_tunnelled = self._proxy is not None and url.scheme == "https"
        tunnelled_to = (url.raw_host or "").removesuffix(".") if is_tunnelled else None
        try:
            return await self._session.request(
                request.method,
                url,
                # In a tunnel the proxy reads nothing, and those for it would reach the receiver.
                headers=headers if url.scheme == "https" else headers + self._opening,
                proxy_headers=self._opening,
                server_hostname=tunnelled_to,
                skip_auto_headers=_ADDED_BY_AIOHTTP - names,
                data=request.body
                if len(request.body) <= _MAX_PLAIN_BODY
                else BytesIO(request.body),
                allow_redirects=False,
            )
        except ClientError as error:
            raise failure_of(error, proxied=self._proxy is not None) from error


def _phases(start: float, headers_at: float | None = None) -> Phases | None:
    """Return the phases of the request that was begun then in this context, up to now.

    ``headers_at`` is when its response's headers were there: aiohttp does not tell of the first
    byte.
    """
    now, timer = monotonic(), TIMER.get()
    waited_until = now if headers_at is None else headers_at
    if timer is None:
        return phases_of(None, waited_until - start, now - waited_until)
    opened_at = start + sum(timer.seconds.values())
    first_byte = waited_until - opened_at if timer.is_open else None
    return phases_of(timer, first_byte, now - waited_until)


def _session(connector: GuardedConnector, proxy: EgressProxy | None) -> ClientSession:
    session = ClientSession(
        connector=connector,
        request_class=PooledRequest,
        proxy=None if proxy is None else str(proxy),
        headers={"Accept-Encoding": "identity"},
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(),
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        auto_decompress=False,
        trust_env=False,
    )
    # Private, and the only way: aiohttp sends GET, PUT and DELETE a second time where a kept
    # connection breaks. The contract tests count what a receiver sees.
    session._retry_connection = False  # noqa: SLF001 - see above
    return session


def _destination(policy: DestinationPolicy, url: str) -> URL:
    check_url(url, policy)
    # Already in the form that goes out: not one character of it is to be written in another way.
    return URL(url, encoded=True)
