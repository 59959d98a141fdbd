"""Serving the HTTP API of an application in a process.

What aiohttp answers before any route is known has the one shape too: a request that is no HTTP
never reaches the application, nor does one with an expectation that is not met. The server's
protocol answers them, by hooks of aiohttp 3.14.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import ContentEncodingError

from notification_entrypoints.api.app import api_app, api_callers
from notification_entrypoints.api.error_responses import error_response
from notification_entrypoints.api.http.connections import ConnectionLimit
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.parsers import Authentication
from notification_entrypoints.console.app import add_console
from notification_entrypoints.process.open_files import most_connections
from notification_entrypoints.process.runtime import ServerProcess, api_bind
from notification_entrypoints.serving.http_server import PatientProtocol, ProtocolRunner, listen_on

_NAME = "notification-management"
_BAD_REQUEST = 400
# Longer than the proxies in front of a server keep a connection: it is for them to close it.
_KEEP_ALIVE = timedelta(seconds=620)


@asynccontextmanager
async def serve_api(application: Application, process: ServerProcess) -> AsyncIterator[str]:
    """Serve the API for the length of the block; gives the URL of its server.

    At its end requests are accepted until SHUTDOWN_DELAY is over, and may end while there is time.
    Administrators may see the debug pages of the process from the beginning on.
    """
    settings = application.settings
    callers = api_callers(application)
    process.administrators.opened(callers)
    app = api_app(application, callers)
    if settings.console.enabled:
        add_console(app, application)
    runner = ApiRunner(app, application, max_connections=most_connections(settings))
    bind = api_bind(settings, shared=process.address is not None)
    async with listen_on(runner, bind) as url:
        yield url
        await process.wait_for_shutdown_delay()


async def access_summary(application: Application) -> str | None:
    """Return what a caller needs, or that no key exists yet; None if authentication is disabled."""
    settings = application.settings
    if application.credentials is None:
        return None
    only_keys = settings.api.auth == (Authentication.API_KEY,)
    if only_keys and not settings.api.bootstrap_key and not await application.api_keys.page(1):
        return "nobody can call yet: start it with API_BOOTSTRAP_KEY, and make keys with that one"
    return "callers need a credential: client commands read it from NOTIFICATION_API_KEY"


class ApiRunner(ProtocolRunner):
    """Runs the API's application, as :class:`aiohttp.web.AppRunner` does.

    From the beginning of its ``deadline`` on each response closes its connection, so that a client
    with a connection of its own finds another server too before this one ends.
    """

    def __init__(
        self,
        app: web.Application,
        application: Application,
        *,
        max_connections: int = 10_000,
    ) -> None:
        limit = ConnectionLimit(max_connections)
        super().__init__(
            app,
            partial(_Protocol, application=application, limit=limit),
            lambda: application.deadline.left,
            keepalive_timeout=_KEEP_ALIVE.total_seconds(),
        )


class _Protocol(PatientProtocol):
    """Serves HTTP on one connection."""

    __slots__ = ("_application", "_limit")

    def __init__(
        self,
        server: web.Server,
        *,
        application: Application,
        limit: ConnectionLimit,
        **options: Any,
    ) -> None:
        read_timeout = application.settings.api.server_read_timeout
        super().__init__(server, read_timeout=read_timeout, **options)
        self._application = application
        self._limit = limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, and close an idle one if there are too many."""
        super().connection_made(transport)
        descriptor = transport.get_extra_info("socket").fileno()
        surplus = self._limit.opened(self, descriptor)
        if surplus is self:
            # Before a request has come: there will be no place to read it.
            response = self._response(RequestRefused(Problem.TOO_MANY_CONNECTIONS))
            body = cast("bytes", response.body)
            response.headers[hdrs.CONTENT_LENGTH] = str(len(body))
            response.headers[hdrs.CONNECTION] = "close"
            lines = [f"HTTP/1.1 {response.status} {response.reason}"]
            lines += [f"{name}: {value}" for name, value in response.headers.items()]
            head = "\r\n".join([*lines, "", ""]).encode()
            cast("asyncio.WriteTransport", transport).write(head + body)
        if surplus is not None:
            surplus.force_close()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._limit.used(self)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for another connection."""
        self._limit.closed(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never reached the application."""
        if isinstance(exc, ContentEncodingError):
            return self._response(RequestRefused(Problem.WRONG_CODING))
        if exc is None or status == _BAD_REQUEST:
            return self._response(RequestRefused(Problem.MALFORMED_REQUEST))
        # A failure of ours: aiohttp's own handler logs it.
        super().handle_error(request, status, exc, message)
        return self._response(RequestRefused(Problem.UNEXPECTED))

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; one that aiohttp made up is given the one shape before."""
        if isinstance(resp, web.HTTPException):
            resp = self._response(resp)
        if self._application.deadline.has_begun:
            resp.force_close()
        # In place of a header that tells the versions of everything.
        resp.headers.setdefault(hdrs.SERVER, _NAME)
        return await super().finish_response(request, resp, start_time)

    def _response(self, error: Exception) -> web.Response:
        response = error_response(error, str(self._application.ids()), debug=False)
        response.force_close()
        return response
