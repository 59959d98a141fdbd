"""The methods of a path: told to whoever asks by OPTIONS, or tries another one (405)."""

import re
from collections import defaultdict
from collections.abc import Collection

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_NO_CONTENT = 204


def path_pattern(path: str) -> str:
    """Return a path of the document as the router takes it: an id may hold all but a slash."""
    return re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", path)


def tell_methods(app: web.Application) -> None:
    """Answer OPTIONS, and methods that are none, on every path that the application has so far.

    A path answers for itself: without this, another one that happens to match (as
    ``/webhooks/{webhook_id}`` does for ``/webhooks/events``) would check the request.
    """
    methods: dict[str, set[str]] = defaultdict(set)
    for route in app.router.routes():
        if route.resource is not None:
            methods[route.resource.canonical].add(route.method)
    for path, served in methods.items():
        allowed = sorted(served | {hdrs.METH_OPTIONS})
        app.router.add_route(hdrs.METH_OPTIONS, path_pattern(path), _options(allowed))
        app.router.add_route(hdrs.METH_ANY, path_pattern(path), _refusal(allowed))


def _options(allowed: Collection[str]) -> Handler:
    async def options(_: web.Request) -> web.StreamResponse:
        return web.Response(status=_NO_CONTENT, headers={hdrs.ALLOW: ", ".join(allowed)})

    return options


def _refusal(allowed: Collection[str]) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, allowed)

    return refuse
