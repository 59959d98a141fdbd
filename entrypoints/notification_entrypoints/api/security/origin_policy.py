"""What stands around the API: proxies before it, pages that may call it, this machine alone.

What every answer says of itself to browsers and caches is said here, once.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from attrs import field, frozen

from notification_core.model.destinations import Network
from notification_entrypoints.api.http.client_address import is_secure, peer_is_within
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.config.settings import is_loopback

_ANY = "*"
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_HSTS = {"Strict-Transport-Security": "max-age=31536000"}
_EXPOSED = "ETag, Idempotent-Replayed, Link, Location, Retry-After, WWW-Authenticate, X-Request-Id"
_TAKEN = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
)
_PREFLIGHT_SECONDS = "600"


@frozen
class Surroundings:
    """Who is around.

    ``proxies`` are believed where they say whom they speak for. ``origins`` are those of pages
    that may call from a browser, or ``*``. An ``open`` API asks nobody who calls; one that is
    ``local`` is for this machine alone.
    """

    proxies: Sequence[Network] = ()
    origins: Collection[str] = ()
    open: bool = field(default=False)
    local: bool = field(default=False)

    def check(self, request: web.Request) -> None:
        """Refuse what a page of the web sends behind the back of whoever looks at it.

        Where callers must have a credential, a page does not have it. Where nobody is asked, a
        page could point a name of its own at this machine, or have a form sent here.
        """
        if not self.open:
            return
        if self.local and not (_is_local(request.host) or peer_is_within(request, self.proxies)):
            raise RequestRefused(Problem.NOT_LOCAL)
        if request.method not in _SAFE:
            self.refuse_foreign_pages(request)

    def refuse_foreign_pages(self, request: web.Request) -> None:
        """Raise :class:`RequestRefused` for what a page of another site sent, unless it may call.

        A browser says so by ``Origin`` or, of requests that have none, by ``Sec-Fetch-Site``.
        """
        origin = request.headers.get(hdrs.ORIGIN)
        if self._may_call(origin):
            return
        is_cross_site = request.headers.get("Sec-Fetch-Site") == "cross-site"
        if is_cross_site or (origin is not None and _host_of(origin) != request.host):
            raise RequestRefused(Problem.FOREIGN_PAGE)

    def is_on_this_host(self, request: web.Request) -> bool:
        """Tell whether a request was sent on this host, and not through a proxy on it."""
        return self.local and _is_local(request.host)

    def describe(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say of an answer how it is to be taken, where it does not say so itself."""
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        if is_secure(request, self.proxies):
            headers.update(_HSTS)
        if self.origins:
            self._share(request, response)

    def _share(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let a page that may call read the answer (the fetch standard's CORS protocol)."""
        origin, headers = request.headers.get(hdrs.ORIGIN), response.headers
        if _ANY not in self.origins:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
        if origin is None or not self._may_call(origin):
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = _ANY if _ANY in self.origins else origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
        if request.method == hdrs.METH_OPTIONS:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = headers.get(hdrs.ALLOW, "")
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = _TAKEN
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = _PREFLIGHT_SECONDS

    def _may_call(self, origin: str | None) -> bool:
        return _ANY in self.origins or origin in self.origins


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


@lru_cache(maxsize=64)
def _is_local(host: str) -> bool:
    """Tell whether a request was sent to this machine by a name that nobody can point here."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
