"""Whether a request may pass by what its caller may do.

Each request is checked by its operation's rule before anything is read of it.
"""

from collections.abc import Awaitable, Callable, Mapping
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
from notification_core.ports.history import History
from notification_core.ports.webhooks import WebhookStore
from notification_entrypoints.api.openapi.document import AccessRule, Reach
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.api.security.authentication import CHALLENGE, Callers

CALLER = web.RequestKey("caller", Caller)
"""Where it stands who sends a request, once the caller is identified."""


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
        """Return the caller; raise :class:`RequestRefused` for who may not call this at all."""
        caller = ANYBODY
        if rule.scope is not None:
            caller = request[CALLER] = await self._callers.identify(request)
        self.permit(request, caller, rule)
        return caller

    def permit(self, request: web.Request, caller: Caller, rule: AccessRule) -> None:
        """Count a request of a caller; raise :class:`RequestRefused` if it may not call this."""
        if self._callers.limits_requests:
            self._callers.count(request, caller)
        if rule.scope is None:
            return
        reaches_enough = rule.reach is not Reach.ALL or caller.environments is None
        if not (reaches_enough and rule.scope in caller.scopes):
            raise _forbidden(caller, rule.scope)

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
        """Return the response to whoever is no administrator of all environments, None for one.

        Where the API has authentication disabled, nobody can prove to be one.
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
    return Scope.ADMIN in caller.scopes and caller.environments is None


def _forbidden(caller: Caller, scope: Scope) -> RequestRefused:
    """Return the refusal of a caller that has too small a scope, or else too small a reach."""
    message = "This needs a credential for all environments."
    if scope not in caller.scopes:
        has = f"you have {caller.scope}" if caller.scope else "you have none"
        message = f"This needs the scope {scope}; {has}."
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    return RequestRefused(Problem.NOT_ALLOWED, message, headers={hdrs.WWW_AUTHENTICATE: challenge})
