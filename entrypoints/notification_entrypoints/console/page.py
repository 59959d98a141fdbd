"""One page for one request: who looks at it, where it is, and how it is shown."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from aiohttp import hdrs, web
from attrs import frozen
from yarl import URL

from notification_core.model.caller import ANYBODY, Caller, Scope
from notification_entrypoints.console.api import InProcessApi
from notification_entrypoints.console.callers import caller_of, csrf_token, is_portal
from notification_entrypoints.console.keys import APPLICATION, OPERATIONS
from notification_entrypoints.console.rendering import html_response
from notification_entrypoints.console.theme import THEME

_SEE_OTHER: Final = 303


@frozen
class RailEntry:
    """An entry of the rail: where it leads, and who sees it."""

    route: str
    label: str
    icon: str
    scope: Scope = Scope.READ
    of_installation: bool = False


NAVIGATION: Final = (
    RailEntry("overview", "Overview", "overview"),
    RailEntry("webhooks", "Webhooks", "webhooks"),
    RailEntry("events", "Events", "events"),
    RailEntry("keys", "Keys", "keys"),
    RailEntry("audit", "Audit log", "audit", Scope.ADMIN),
    RailEntry("erasure", "Erasure", "erasure", Scope.ADMIN),
    RailEntry("environments", "Environments", "environments", of_installation=True),
    RailEntry("api_keys", "API keys", "api-keys", Scope.ADMIN, of_installation=True),
    RailEntry("dead_letters", "Dead letters", "dead-letters", Scope.ADMIN, of_installation=True),
    RailEntry("installation_audit", "Audit log", "audit", Scope.ADMIN, of_installation=True),
)
"""The rail, from the top: first what an environment has, then what the installation has."""


@frozen
class ConsolePage:
    """What a handler has in hand; ``environment_id`` is None on the pages of the installation."""

    request: web.Request
    caller: Caller
    api: InProcessApi
    environment_id: UUID | None

    @property
    def environment(self) -> UUID:
        """The environment that the page is of; :class:`aiohttp.web.HTTPNotFound` without one."""
        if self.environment_id is None:
            raise web.HTTPNotFound
        return self.environment_id

    @property
    def now(self) -> datetime:
        """The time, for ages and for what is over."""
        return self.request.app[APPLICATION].clock.now()

    def new_key(self) -> str:
        """Return a name for a write, so that a form that is sent twice is done once."""
        return str(self.request.app[APPLICATION].ids())

    def has(self, route: str) -> bool:
        """Tell whether there is such a page."""
        return route in self.request.app.router

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller has a scope: buttons are shown to those who may press them."""
        return scope in self.caller.scopes

    def url(self, route: str, /, query: Mapping[str, Any] | None = None, **names: object) -> str:
        """Return where a route leads, in the environment of this page unless ``names`` say else."""
        path = self.request.app.router[route].canonical
        texts = {name: str(value) for name, value in names.items()}
        if "{environment_id}" in path and "environment_id" not in texts:
            texts["environment_id"] = str(self.environment)
        for name, text in texts.items():
            # An event's id may have any character, a slash too: ``url_for`` would leave that.
            path = path.replace(f"{{{name}}}", quote(text, safe=""))
        given = {
            name: str(value) for name, value in (query or {}).items() if value not in {None, ""}
        }
        return str(URL(path, encoded=True).with_query(given))

    def redirect(
        self, route: str, /, query: Mapping[str, Any] | None = None, **names: object
    ) -> web.Response:
        """Return the response to a write: the page that shows its effect."""
        return web.Response(
            status=_SEE_OTHER, headers={hdrs.LOCATION: self.url(route, query, **names)}
        )

    def render(self, template: str, *, status: int = 200, **context: Any) -> web.Response:
        """Return the page that a template makes of a context."""
        shown = {
            "page": self,
            "csrf_token": csrf_token(self.request),
            "navigation": self._navigation(),
            "Scope": Scope,
            "now": self.now,
            **context,
        }
        return html_response(self.request.app[THEME], template, shown, status=status)

    @property
    def caller_name(self) -> str | None:
        """Who is signed in; None if authentication is disabled."""
        return None if self.caller is ANYBODY else self.caller.name

    @property
    def is_portal(self) -> bool:
        """Whether a customer looks at it."""
        return is_portal(self.request)

    @property
    def is_operator(self) -> bool:
        """Whether the caller may see more than one environment."""
        return self.caller.environments is None or len(self.caller.environments) > 1

    def _navigation(self) -> Sequence[tuple[RailEntry, str]]:
        shown = []
        for entry in NAVIGATION:
            is_there = self.environment_id is not None or entry.of_installation
            reaches = not entry.of_installation or self.caller.environments is None
            if is_there and reaches and self.may(entry.scope):
                shown.append((entry, self.url(entry.route)))
        return shown


async def open_page(request: web.Request) -> ConsolePage:
    """Return the page for a request.

    Raises a redirect to the sign-in page for nobody, and :class:`aiohttp.web.HTTPNotFound` for an
    environment that is not the caller's, or none.
    """
    caller = await caller_of(request)
    text, environment_id = request.match_info.get("environment_id"), None
    if text is not None:
        environment_id = id_in(text)
        if not caller.reaches(environment_id):
            raise web.HTTPNotFound
    api = InProcessApi(request.app[OPERATIONS], request, caller)
    return ConsolePage(request, caller, api, environment_id)


def id_in(text: str) -> UUID:
    """Return the id that a part of a path is; raise :class:`aiohttp.web.HTTPNotFound`."""
    try:
        return UUID(text)
    except ValueError as error:
        raise web.HTTPNotFound from error
