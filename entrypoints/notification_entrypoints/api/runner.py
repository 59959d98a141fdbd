"""Running the API: what aiohttp answers before any route is known has the one shape too.

A request that is no HTTP never reaches the application, nor does one with an expectation that
nobody meets: the server's protocol answers them. That is mended here, by hooks of aiohttp 3.14.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import ContentEncodingError

from notification_entrypoints.api.problems import Problem, RequestRefused, error_answer
from notification_entrypoints.api.services import Services
from notification_entrypoints.grace import Grace
from notification_entrypoints.servers import PatientProtocol, ProtocolRunner

_NAME = "notification-management"
_BAD_REQUEST = 400
# Longer than the proxies in front of a server keep a connection: it is for them to close it.
_KEEP_ALIVE = timedelta(seconds=620)


class ApiRunner(ProtocolRunner):
    """Runs the API's application, as :class:`aiohttp.web.AppRunner` does.

    From the beginning of the ``grace`` on each response closes its connection, so that a client
    with a connection of its own finds another server too before this one ends.
    """

    def __init__(self, app: web.Application, services: Services, grace: Grace) -> None:
        super().__init__(
            app,
            partial(_Protocol, services=services, grace=grace),
            lambda: grace.left,
            keepalive_timeout=_KEEP_ALIVE.total_seconds(),
        )


class _Protocol(PatientProtocol):
    """Speaks HTTP on one connection."""

    __slots__ = ("_grace", "_services")

    def __init__(
        self, server: web.Server, *, services: Services, grace: Grace, **options: Any
    ) -> None:
        super().__init__(server, read_timeout=services.timeouts.read, **options)
        self._services = services
        self._grace = grace

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never reached the application."""
        if isinstance(exc, ContentEncodingError):
            return self._answer(RequestRefused(Problem.WRONG_CODING))
        if exc is None or status == _BAD_REQUEST:
            return self._answer(RequestRefused(Problem.MALFORMED_REQUEST))
        # A failure of ours: aiohttp's own handler logs it.
        super().handle_error(request, status, exc, message)
        return self._answer(RequestRefused(Problem.UNEXPECTED))

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; one that aiohttp made up is given the one shape before."""
        if isinstance(resp, web.HTTPException):
            resp = self._answer(resp)
        if self._grace.has_begun:
            resp.force_close()
        # In place of a header that tells the versions of everything.
        resp.headers.setdefault(hdrs.SERVER, _NAME)
        return await super().finish_response(request, resp, start_time)

    def _answer(self, error: Exception) -> web.Response:
        response = error_answer(error, str(self._services.ids()), debug=False)
        response.force_close()
        return response
