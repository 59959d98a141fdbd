"""Authentication by the Authorization header, with a limit on failures.

A well-formed credential is always checked, which is cheap: callers that share an address with
somebody who sends nonsense, or whose key somebody else guesses at, are not locked out.
"""

import logging
import math
import re
from collections.abc import Sequence

from aiohttp import hdrs, web

from notification_core.concurrency.rate_limiter import RateLimiter
from notification_core.errors import CredentialRefused
from notification_core.model.caller import ANYBODY, Caller
from notification_core.model.console_session import CredentialGrant
from notification_core.model.destinations import Network
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import CredentialScheme
from notification_entrypoints.api.http.connections import client_address, network_of
from notification_entrypoints.api.problems import Problem, RequestRefused

_log = logging.getLogger(__name__)

CHALLENGE = 'Bearer realm="notification-management"'
"""What a 401 asks for (RFC 6750)."""

FAILURES_AT_ONCE = 20
"""How many failures an address, or a key, may have at once."""

FAILURES_PER_SECOND = 1 / 3
"""How many more it may have after that."""

_NO_CREDENTIAL = (
    "This is not an API key (whk_…), or not a complete one, and not a token that is accepted here."
)
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,8192})", re.IGNORECASE)


class Callers:
    """Tells the caller by credentials; with None of them authentication is disabled."""

    def __init__(
        self,
        credentials: Sequence[CredentialScheme] | None,
        clock: Clock,
        proxies: Sequence[Network] = (),
        *,
        failures_at_once: int = FAILURES_AT_ONCE,
        requests_per_second: int | None = None,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._proxies = proxies
        self._failures = RateLimiter(FAILURES_PER_SECOND, failures_at_once)
        # Each caller may make so many requests a second, or as many of them at once.
        self._requests = (
            RateLimiter(requests_per_second, requests_per_second) if requests_per_second else None
        )
        self.limits_requests = self._requests is not None

    async def identify(self, request: web.Request) -> Caller:
        """Return who sends a request.

        Raises :class:`RequestRefused`, and what :meth:`CredentialScheme.caller` does if nobody
        can tell now. Only failures are counted: by the address, and by the key that was claimed.
        """
        if self._credentials is None:
            return ANYBODY
        header = request.headers.get(hdrs.AUTHORIZATION)
        if header is None:
            raise _unidentified(Problem.CREDENTIAL_MISSING)
        if not (match := _BEARER.fullmatch(header)):
            message = "Send the header as `Authorization: Bearer` and the key or the token."
            raise _unidentified(Problem.CREDENTIAL_REFUSED, message)
        scheme = self._scheme_of(request, match[1])
        try:
            return await scheme.caller(match[1])
        except CredentialRefused as error:
            raise self.refusal(request, str(error), scheme.subject(match[1])) from error

    async def grant(self, request: web.Request, credential: str) -> CredentialGrant:
        """Return what a session rests on that a request begins with a credential.

        Raises as :meth:`identify` does.
        """
        scheme = self._scheme_of(request, credential)
        try:
            return await scheme.grant(credential)
        except CredentialRefused as error:
            raise self.refusal(request, str(error), scheme.subject(credential)) from error

    @property
    def ask_nobody(self) -> bool:
        """Whether everybody may do everything."""
        return self._credentials is None

    def count(self, request: web.Request, caller: Caller) -> None:
        """Count a request of a caller; raise :class:`RequestRefused` for one too many.

        Callers are told apart by their credential, and those without one by their address.
        """
        if self._requests is None:
            return
        has_name, now = caller is not ANYBODY, self._clock.monotonic()
        who = caller.name if has_name else network_of(self.address(request))
        if (wait := self._requests.wait(who, now)) > 0:
            raise _too_many(Problem.TOO_MANY_REQUESTS, wait)
        self._requests.count(who, now)

    def address(self, request: web.Request) -> str:
        """Return where a request comes from."""
        return client_address(request, self._proxies)

    def _scheme_of(self, request: web.Request, credential: str) -> CredentialScheme:
        for scheme in self._credentials or ():
            if scheme.accepts(credential):
                return scheme
        raise self.refusal(request, _NO_CREDENTIAL)

    def refusal(
        self, request: web.Request, cause: str, claimed: str | None = None
    ) -> RequestRefused:
        """Count a failure, and log it unless there are too many; return the response to it."""
        address, now = self.address(request), self._clock.monotonic()
        watched = [network_of(address), *([claimed] if claimed else [])]
        wait = max(self._failures.wait(who, now) for who in watched)
        for who in watched:
            self._failures.count(who, now)
        if wait > 0:
            return _too_many(Problem.TOO_MANY_FAILURES, wait)
        _log.info(
            "authentication_failed",
            extra={"address": address, "claimed": watched[1:], "cause": cause},
        )
        return _unidentified(Problem.CREDENTIAL_REFUSED, cause)


def _unidentified(problem: Problem, message: str | None = None) -> RequestRefused:
    failed = ', error="invalid_token"' if problem is Problem.CREDENTIAL_REFUSED else ""
    return RequestRefused(problem, message, headers={hdrs.WWW_AUTHENTICATE: CHALLENGE + failed})


def _too_many(problem: Problem, wait: float) -> RequestRefused:
    return RequestRefused(problem, headers={hdrs.RETRY_AFTER: str(math.ceil(wait))})


CALLERS = web.AppKey("callers", Callers)
"""What authenticates the callers of an application."""
