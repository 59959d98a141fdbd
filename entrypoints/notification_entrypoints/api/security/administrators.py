"""Letting administrators through to what is no part of the API: the debug pages."""

from aiohttp import web

from notification_core.model.caller import Scope
from notification_entrypoints.api.openapi.access_rules import Reach
from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.api.security.authorization import check


class Administrators:
    """Knows administrators by their credentials, once the process has opened what tells them."""

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
            check(await self._callers.identify(request), Scope.ADMIN, Reach.ALL)
        except RequestRefused as refused:
            status = refused.problem.value.http_code
            return web.Response(status=status, text=f"{refused}\n", headers=refused.headers)
        return None
