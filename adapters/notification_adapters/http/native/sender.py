"""The sender on a client of our own."""

import asyncio
import ssl
from datetime import timedelta
from functools import lru_cache

from notification_adapters.http.failures import proxy_refused, refused, timed_out
from notification_adapters.http.limits import MAX_KNOWN_URLS
from notification_adapters.http.native.connection import Connection
from notification_adapters.http.native.connector import Dialer
from notification_adapters.http.native.deadlines import Deadlines
from notification_adapters.http.native.phase_timer import Stopwatch, nobody_hears
from notification_adapters.http.native.pool import Pool
from notification_adapters.http.native.request import Origin, Target, head_of, target_of
from notification_adapters.http.native.routes import Route, Straight, Through
from notification_adapters.http.proxy import (
    ANYWHERE,
    PROXY_AUTHENTICATION_REQUIRED,
    EgressProxy,
)
from notification_adapters.http.resolver import Dns, JudgingResolver, NameService
from notification_core.errors import DestinationRefused
from notification_core.model.delivery import ReceivedResponse
from notification_core.model.destinations import DestinationPolicy, check_url
from notification_core.ports.sender import HttpRequest, HttpSender, Phase, Took


class NativeSender(HttpSender):
    """Sends with a pool of HTTP/1.1 connections; to be made where an event loop runs.

    ``ssl_context`` takes the place of the system's store of certificates, ``names`` that of the
    system's name servers. Where there is a ``proxy``, nothing else is connected to: the policy
    judges URLs, and which addresses names lead to is the proxy's business.
    ``took`` hears how long the phases of requests take.
    """

    def __init__(
        self,
        policy: DestinationPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        names: NameService | None = None,
        proxy: EgressProxy | None = None,
        took: Took = nobody_hears,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._proxy = proxy
        self._took = took
        stopwatch = Stopwatch(self._loop, took)
        connecting = policy if proxy is None else ANYWHERE
        self._resolver = JudgingResolver(connecting, names or Dns())
        straight = Straight(connecting, self._resolver, stopwatch)
        route: Route = straight if proxy is None else Through(proxy, straight, self._loop)
        self._dialer = Dialer(route, ssl_context, stopwatch)
        self._pool = Pool(self._loop)
        self._deadlines = Deadlines(self._loop)
        self._target = lru_cache(MAX_KNOWN_URLS)(
            lambda url: target_of(check_url(url, policy), proxy)
        )

    async def send(self, request: HttpRequest, timeout: timedelta) -> ReceivedResponse:  # noqa: ASYNC109 - the port's
        """Send one request; see the port.

        Raises :class:`InvalidInput` where a header would make something else of the request.
        """
        target = self._allowed(request.url)
        head = head_of(request, target)
        asked_at = self._loop.time()
        due = asked_at + timeout.total_seconds()
        key = None if request.pool_key is None else (target.origin, request.pool_key)
        try:
            connection = None if key is None else self._pool.take(key)
            if connection is None:
                connection = await self._connect(target.origin, due)
                asked_at = self._loop.time()
            connection.due = due
            self._deadlines.add(connection)
            try:
                outcome = await connection.ask(head, request.body)
            finally:
                # Also where this is cancelled: what is not clean is not kept.
                self._deadlines.discard(connection)
                self._pool.give_back(connection, key)
            if connection.answered_at:
                self._took(Phase.FIRST_BYTE, max(0.0, connection.answered_at - asked_at))
            if isinstance(outcome, ReceivedResponse):
                return self._let_through(outcome)
            raise outcome
        except TimeoutError as error:
            raise timed_out(timeout) from error

    async def close(self) -> None:
        """Close idle connections, and end look-ups that nobody waits for."""
        self._deadlines.close()
        self._pool.close()
        await self._resolver.close()

    def _let_through(self, response: ReceivedResponse) -> ReceivedResponse:
        if self._proxy and response.http_code == PROXY_AUTHENTICATION_REQUIRED:
            raise proxy_refused()
        return response

    def _allowed(self, url: str) -> Target:
        try:
            return self._target(url)
        except DestinationRefused as error:
            raise refused(error) from error

    async def _connect(self, origin: Origin, due: float) -> Connection:
        async with asyncio.timeout_at(due):
            return await self._dialer.connect(origin)
