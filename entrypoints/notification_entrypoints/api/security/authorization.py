"""Whether a request may pass: by the page that sends it, and by what its caller may do.

Each request is judged by its operation's rule before anything is read of it. What every response
says of itself to browsers and caches is said here, once.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import lru_cache
from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import hdrs, web
from attrs import frozen

from notification_core.errors import (
    DeliveryNotFound,
    EnvironmentNotFound,
    NotificationError,
    WebhookNotFound,
)
from notification_core.model.caller import ANYBODY, Caller, Scope
from notification_core.model.destinations import Network
from notification_core.ports.history import History
from notification_core.ports.webhooks import WebhookStore
from notification_entrypoints.api.http.connections import peer_is_within
from notification_entrypoints.api.openapi.document import AccessRule, Reach
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.api.security.authentication import CHALLENGE, Callers
from notification_entrypoints.config.parsers import is_loopback

CALLER = web.RequestKey("caller", Caller)
"""Where it stands who sends a request, once the caller is identified."""

_ANY = "*"
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_HSTS = {"Strict-Transport-Security": "max-age=31536000"}
_EXPOSED = "ETag, Idempotent-Replayed, Link, Location, Retry-After, WWW-Authenticate, X-Request-Id"
_TAKEN = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
)
_PREFLIGHT_SECONDS = "600"


@frozen
class _Kind:
    """A kind of things in a path: how the environment of one is found, what one not found is."""

    environment_of: Callable[[UUID], Awaitable[UUID]] | None
    missing: Callable[[UUID], NotificationError]


class Access:
    """Lets a request through to its operation, or refuses it."""

    def __init__(self, callers: Callers, webhooks: WebhookStore, history: History) -> None:
        self._callers = callers
        self._kinds: Mapping[Reach, _Kind] = {
            Reach.ENVIRONMENT: _Kind(None, EnvironmentNotFound),
            Reach.WEBHOOK: _Kind(webhooks.environment_of, WebhookNotFound),
            Reach.DELIVERY: _Kind(history.environment_of, DeliveryNotFound),
        }

    async def admit(self, request: web.Request, rule: AccessRule) -> Caller:
        """Return who calls; raise :class:`RequestRefused` for who may not call this at all."""
        caller = ANYBODY
        if rule.scope is not None:
            caller = request[CALLER] = await self._callers.identify(request)
        if self._callers.limits_requests:
            self._callers.count(request, caller)
        if rule.scope is None:
            return caller
        reaches_enough = rule.reach is not Reach.ALL or caller.environments is None
        if not (reaches_enough and caller.may(rule.scope)):
            raise _forbidden(caller, rule.scope)
        return caller

    async def environment(
        self, caller: Caller, rule: AccessRule, path: Mapping[str, object]
    ) -> UUID | None:
        """Return the environment that a path leads into, None where it leads into none.

        What is another environment's is answered as if it did not exist.
        """
        kind = self._kinds.get(rule.reach)
        if kind is None:
            return None
        subject = path[rule.reach.value]
        assert isinstance(subject, UUID)  # noqa: S101 - the parameters of paths are ids
        environment_id = await kind.environment_of(subject) if kind.environment_of else subject
        if not caller.reaches(environment_id):
            raise kind.missing(subject)
        return environment_id


class Administrators:
    """Lets administrators through to what is no part of the API: the debug pages.

    It knows them by their credentials, once the process has opened what tells them.
    """

    def __init__(self) -> None:
        self._callers: Callers | None = None

    def opened(self, callers: Callers) -> None:
        """Ask these from now on."""
        self._callers = callers

    async def refusal(self, request: web.Request) -> web.Response | None:
        """Return the answer to whoever is no administrator of all environments, None for one.

        Where the API asks nobody who calls, nobody can prove to be one.
        """
        if self._callers is None or self._callers.ask_nobody:
            raise web.HTTPNotFound
        try:
            caller = await self._callers.identify(request)
            if not is_administrator(caller):
                raise _forbidden(caller, Scope.ADMIN)
        except RequestRefused as refused:
            status = refused.problem.value.http_code
            return web.Response(status=status, text=f"{refused}\n", headers=refused.headers)
        return None


def is_administrator(caller: Caller) -> bool:
    """Tell whether a caller may do everything in all environments."""
    return caller.may(Scope.ADMIN) and caller.environments is None


def _forbidden(caller: Caller, scope: Scope) -> RequestRefused:
    """Return the refusal of a caller that has too small a scope, or else too small a reach."""
    message = "This needs a credential for all environments."
    if not caller.may(scope):
        has = f"you have {caller.scope}" if caller.scope else "you have none"
        message = f"This needs the scope {scope}; {has}."
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    return RequestRefused(Problem.NOT_ALLOWED, message, headers={hdrs.WWW_AUTHENTICATE: challenge})


@frozen
class OriginPolicy:
    """Which requests of browsers and proxies are taken, and what responses say to them.

    ``proxies`` are believed where they say whom they speak for. ``origins`` are those of pages
    that may call from a browser, or ``*``. An ``open`` API asks nobody who calls; one that is
    ``local`` is for this machine alone.
    """

    proxies: Sequence[Network] = ()
    origins: Collection[str] = ()
    open: bool = False
    local: bool = False

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
        if _ANY in self.origins or origin in self.origins:
            return
        try:
            host = request.host if origin is None else urlsplit(origin).netloc
        except ValueError:
            host = None
        if request.headers.get("Sec-Fetch-Site") == "cross-site" or host != request.host:
            raise RequestRefused(Problem.FOREIGN_PAGE)

    def is_on_this_host(self, request: web.Request) -> bool:
        """Tell whether a request was sent on this host, and not through a proxy on it."""
        return self.local and _is_local(request.host)

    def set_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say of a response how it is to be taken, where it does not say so itself."""
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        # A request came over TLS if a proxy of ours says so.
        scheme = request.headers.get("X-Forwarded-Proto")
        if scheme == "https" and peer_is_within(request, self.proxies):
            headers.update(_HSTS)
        if self.origins:
            self._share(request, response)

    def _share(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let a page that may call read the answer (the fetch standard's CORS protocol)."""
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


@lru_cache(maxsize=64)
def _is_local(host: str) -> bool:
    """Tell whether a request was sent to this machine by a name that nobody can point here."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
