"""The edge of the API: what every request passes, and what every response says of itself.

Requests get an id and are held against the policy on browsers' pages; errors get the one shape, and
all responses what browsers and caches are to know of them. Both are said here, once.
"""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from time import monotonic
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as Next
from aiohttp.typedefs import Middleware
from attrs import frozen
from multidict import istr

from notification_core.model.caller import ANYBODY
from notification_core.model.destinations import Network
from notification_entrypoints.api.audit_trail import REQUEST
from notification_entrypoints.api.error_responses import error_response
from notification_entrypoints.api.http.connections import peer_is_within
from notification_entrypoints.api.http.content_negotiation import (
    LARGE,
    accepts_problem_details,
    compress,
)
from notification_entrypoints.api.problems import REQUEST_ID, Problem, RequestRefused
from notification_entrypoints.api.security.authorization import CALLER, is_administrator
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.parsers import is_loopback
from notification_entrypoints.observability.logs import UNAVAILABLE

ERROR_PAGE: web.AppKey[Callable[[web.Request, Exception], web.Response]] = web.AppKey("errors")
"""What an application below this edge shows to people instead of the one shape of errors."""

_log = logging.getLogger(__name__)
_log_unavailable = logging.getLogger(UNAVAILABLE)

_NO_ROUTE, _NO_METHOD = "unmatched", "other"
_SERVER_ERROR = 500
# What a caller may call a request: a UUID, or another token of ids, traces and clocks.
_GIVEN_ID = istr(REQUEST_ID)
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")

_ANY = "*"
_STREAM = "text/event-stream"
_FETCH_SITE, _FORWARDED_PROTO = istr("Sec-Fetch-Site"), istr("X-Forwarded-Proto")
_CONTENT_TYPE_OPTIONS = istr("X-Content-Type-Options")
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_HSTS = {"Strict-Transport-Security": "max-age=31536000"}
_EXPOSED = "ETag, Idempotent-Replayed, Link, Location, Retry-After, WWW-Authenticate, X-Request-Id"
_TAKEN = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
)
_PREFLIGHT_SECONDS = "600"


@frozen
class OriginPolicy:
    """Which requests of browsers and proxies are taken, and what responses say to them.

    ``proxies`` are believed where they say whom they speak for. ``origins`` are those of pages
    that may call from a browser, or ``*``. An ``open`` API has authentication disabled; one that is
    ``local`` is for this host alone.
    """

    proxies: Sequence[Network] = ()
    origins: Collection[str] = ()
    open: bool = False
    local: bool = False

    def check(self, request: web.Request) -> None:
        """Refuse what a page of the web sends behind the back of whoever looks at it.

        Where callers must have a credential, a page does not have it. If authentication is
        disabled, a page could point a name of its own at this host, or have a form sent here.
        """
        if not self.open:
            return
        if self.local and not (is_local(request.host) or peer_is_within(request, self.proxies)):
            raise RequestRefused(Problem.NOT_LOCAL)
        if request.method not in _SAFE:
            self.refuse_foreign_pages(request)

    def refuse_foreign_pages(self, request: web.Request) -> None:
        """Raise :class:`RequestRefused` for what a page of another site sent, unless it may call.

        What a browser says nothing of was not sent by a page.
        """
        origin, site = request.headers.get(hdrs.ORIGIN), request.headers.get(_FETCH_SITE)
        if _ANY in self.origins or origin in self.origins:
            return
        is_unsaid = origin is None and site != "cross-site"
        if not (is_unsaid or is_own_page(request)):
            raise RequestRefused(Problem.FOREIGN_PAGE)

    def is_on_this_host(self, request: web.Request) -> bool:
        """Tell whether a request was sent on this host, and not through a proxy on it."""
        return self.local and is_local(request.host)

    def set_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say of a response how it is to be taken, where it does not say so itself."""
        headers = response.headers
        headers[_CONTENT_TYPE_OPTIONS] = "nosniff"
        headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        if self._came_over_tls(request):
            headers.update(_HSTS)
        if self.origins:
            self._share(request, response)

    def base_url(self, request: web.Request) -> str:
        """Return the origin that a request was sent to, by which a browser gets here, too."""
        scheme = "https" if self._came_over_tls(request) else request.scheme
        return f"{scheme}://{request.host}"

    def _came_over_tls(self, request: web.Request) -> bool:
        """Tell whether a proxy of ours says so."""
        scheme = request.headers.get(_FORWARDED_PROTO)
        return scheme == "https" and peer_is_within(request, self.proxies)

    def _share(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let a page that may call read the response (the fetch standard's CORS protocol)."""
        origin, headers = request.headers.get(hdrs.ORIGIN), response.headers
        if _ANY not in self.origins:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
        if origin is None or not (_ANY in self.origins or origin in self.origins):
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = _ANY if _ANY in self.origins else origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
        if request.method == hdrs.METH_OPTIONS:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = headers.get(hdrs.ALLOW, "")
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = _TAKEN
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = _PREFLIGHT_SECONDS


def is_own_page(request: web.Request, own_origin: str | None = None) -> bool:
    """Tell whether a browser says that a page of this server sent a request.

    It says so by ``Origin``, or by ``Sec-Fetch-Site`` where a page hides its origin, as forms of
    pages without referrers do (``null``). ``own_origin`` is what browsers know the server by, if
    requests are not sent to that.
    """
    origin, site = request.headers.get(hdrs.ORIGIN), request.headers.get(_FETCH_SITE)
    if origin is None or origin == "null":
        return site == "same-origin"
    if own_origin is not None:
        return origin == own_origin
    try:
        return urlsplit(origin).netloc == request.host and site != "cross-site"
    except ValueError:
        return False


ORIGIN_POLICY = web.AppKey("origin_policy", OriginPolicy)
"""What an application takes from browsers and proxies."""


@lru_cache(maxsize=64)
def is_local(host: str) -> bool:
    """Tell whether a request was sent to this host by a name that nobody can point here."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def edge(application: Application, origin_policy: OriginPolicy) -> Middleware:
    """Return what stands around every operation: ids, errors in one shape, compression, counts."""
    with_debug, metrics = application.settings.debug, application.metrics

    @web.middleware
    async def handle(request: web.Request, handler: Next) -> web.StreamResponse:
        request_id = request.headers.get(_GIVEN_ID, "")
        # The caller's own id is taken where it can be trusted in a log.
        if not (request_id and _REQUEST_ID.fullmatch(request_id)):
            request_id = str(application.ids())
        request[REQUEST] = request_id
        started = monotonic()
        response: web.StreamResponse
        try:
            origin_policy.check(request)
            response = await handler(request)
            response.headers[_GIVEN_ID] = request_id
        except Exception as error:  # noqa: BLE001 - whatever it was, it is answered in the one shape
            debug = with_debug and _may_see_causes(request, origin_policy)
            if page := request.match_info.apps[-1].get(ERROR_PAGE):
                response = page(request, error)
            else:
                as_details = accepts_problem_details(request)
                response = error_response(
                    error, request_id, debug=debug, as_problem_details=as_details
                )
            _tell_operator(error, request_id, response.status)
        if isinstance(response, web.Response):
            body = response.body if isinstance(response.body, bytes) else b""
            accepted = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
            # Without a weight nothing is refused, and a small response can go as it is.
            if len(body) >= LARGE or ";" in accepted:
                await compress(response, body, accepted)
        origin_policy.set_headers(request, response)
        resource = request.match_info.route.resource
        route = resource.canonical if resource else _NO_ROUTE
        # Whoever makes up methods makes no more series of them.
        method = request.method if request.method in hdrs.METH_ALL else _NO_METHOD
        # A stream lasts for as long as a page is open: that says nothing of how fast this is.
        is_whole = isinstance(response, web.Response)
        is_stream = not is_whole and response.content_type == _STREAM
        seconds = 0.0 if is_stream else monotonic() - started
        metrics.api_request_finished(method, route, response.status, seconds)
        return response

    return handle


def _may_see_causes(request: web.Request, origin_policy: OriginPolicy) -> bool:
    """Tell whether an administrator sent a request.

    If authentication is disabled, everybody on this host is one.
    """
    caller = request.get(CALLER)
    if caller is None or caller is ANYBODY:
        return caller is ANYBODY and origin_policy.is_on_this_host(request)
    return is_administrator(caller)


def _tell_operator(error: Exception, request_id: str, status: int) -> None:
    """Log what the response does not say: the cause of a failure of ours."""
    if status == _SERVER_ERROR:
        _log.error("request_failed", extra={"request_id": request_id}, exc_info=error)
    elif status > _SERVER_ERROR:
        _log_unavailable.warning(
            "service_unavailable", extra={"request_id": request_id, "cause": str(error)}
        )
