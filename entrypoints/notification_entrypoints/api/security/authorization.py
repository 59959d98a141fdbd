"""Who may do what: each request is judged by its operation's rule before anything is read of it."""

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
from notification_entrypoints.api.http.parameters import Parameters
from notification_entrypoints.api.openapi.access_rules import Reach, Rule
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.api.security.authentication import CHALLENGE, Callers

CALLER = web.RequestKey("caller", Caller)
"""Where it stands who sends a request, once the caller is identified."""


@frozen
class _Kind:
    """A kind of things in a path: how the environment of one is found, what one not found is."""

    environment_of: Callable[[UUID], Awaitable[UUID]]
    missing: Callable[[UUID], NotificationError]


class Access:
    """Lets a request through to its operation, or refuses it."""

    def __init__(self, callers: Callers, webhooks: WebhookStore, history: History) -> None:
        self._callers = callers
        self._kinds: Mapping[Reach, _Kind] = {
            Reach.ENVIRONMENT: _Kind(_itself, EnvironmentNotFound),
            Reach.WEBHOOK: _Kind(webhooks.environment_of, WebhookNotFound),
            Reach.DELIVERY: _Kind(history.environment_of, DeliveryNotFound),
        }

    async def admit(self, request: web.Request, rule: Rule) -> Caller:
        """Return who calls; raise :class:`RequestRefused` for who may not call this at all."""
        if rule.scope is None:
            self._callers.count(request, ANYBODY)
            return ANYBODY
        caller = request[CALLER] = await self._callers.identify(request)
        self._callers.count(request, caller)
        check(caller, rule.scope, rule.reach)
        return caller

    async def environment(self, caller: Caller, rule: Rule, parameters: Parameters) -> UUID | None:
        """Return the environment that a path leads into, None where it leads into none.

        What is another environment's is answered as if it did not exist.
        """
        kind = self._kinds.get(rule.reach)
        if kind is None:
            return None
        subject = parameters.id(rule.reach.value)
        environment_id = await kind.environment_of(subject)
        if not caller.reaches(environment_id):
            raise kind.missing(subject)
        return environment_id


def check(caller: Caller, scope: Scope, reach: Reach) -> None:
    """Raise :class:`RequestRefused` for a caller that has too small a scope, or reach."""
    if not caller.may(scope):
        has = f"you have {caller.scope}" if caller.scope else "you have none"
        raise _forbidden(f"This needs the scope {scope}; {has}.", scope)
    if reach is Reach.ALL and caller.environments is not None:
        raise _forbidden("This needs a credential for all environments.", scope)


async def _itself(environment_id: UUID) -> UUID:
    return environment_id


def _forbidden(message: str, scope: Scope) -> RequestRefused:
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    return RequestRefused(Problem.NOT_ALLOWED, message, headers={hdrs.WWW_AUTHENTICATE: challenge})
