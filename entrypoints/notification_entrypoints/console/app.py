"""The console as an application below the API's: its routes, its headers and its error pages."""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from notification_entrypoints.api.edge import ERROR_PAGE, ORIGIN_POLICY
from notification_entrypoints.api.endpoint import ENDPOINTS
from notification_entrypoints.api.security.authentication import CALLERS
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.console import static_files, theme
from notification_entrypoints.console.callers import check_write
from notification_entrypoints.console.error_page import error_page
from notification_entrypoints.console.installation import INSTALLATION, InstallationReader
from notification_entrypoints.console.keys import APPLICATION, MEMORY, OPERATIONS
from notification_entrypoints.console.pages import (
    api_keys,
    audit,
    changes,
    dead_letters,
    deliveries,
    environments,
    erasure,
    events,
    keys,
    overview,
    replays,
    sign_in,
    webhook,
    webhook_edit,
    webhook_secrets,
    webhooks,
)
from notification_entrypoints.console.streams import STREAMS, StreamRules, Streams

PREFIX = "/console"

PAGES = (
    environments,
    overview,
    sign_in,
    webhooks,
    webhook_edit,
    replays,
    webhook_secrets,
    webhook,
    events,
    deliveries,
    keys,
    audit,
    api_keys,
    dead_letters,
    erasure,
    changes,
)
"""The groups of pages, each with its ``routes``."""

_STREAM_RULES: Final = StreamRules()
_SAFE: Final = {hdrs.METH_GET, hdrs.METH_HEAD}
_HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Nothing is inline, and nothing comes from elsewhere.
_CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "
)


def add_console(
    api: web.Application, application: Application, rules: StreamRules = _STREAM_RULES
) -> None:
    """Serve the console below ``/console/`` of the API that it shows.

    ``rules`` are those of the streams that tell pages of changes.
    """
    console = web.Application(middlewares=[_check])
    console[APPLICATION] = application
    console[OPERATIONS] = api[ENDPOINTS]
    console[CALLERS], console[ORIGIN_POLICY] = api[CALLERS], api[ORIGIN_POLICY]
    console[MEMORY] = next(iter(api[ENDPOINTS].values())).memory
    console[theme.THEME] = theme.Theme.of(application.settings)
    console[STREAMS] = Streams(application, rules)
    console[INSTALLATION] = InstallationReader(application)
    console[ERROR_PAGE] = error_page
    console.on_response_prepare.append(_set_headers)
    for pages in (static_files, theme, *PAGES):
        console.add_routes(pages.routes)
    api.router.add_get(PREFIX, _to_the_first_page)
    api.add_subapp(f"{PREFIX}/", console)


@web.middleware
async def _check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nothing change anything that no form of ours has sent; send redirects as they are."""
    try:
        if request.method not in _SAFE:
            await check_write(request)
        return await handler(request)
    except web.HTTPRedirection as redirect:
        location = redirect.headers[hdrs.LOCATION]
        if "HX-Request" in request.headers:
            # A part of a page is asked for: the whole page is to go there.
            return web.Response(status=204, headers={"HX-Redirect": location})
        response = web.Response(status=redirect.status, headers={hdrs.LOCATION: location})
        response.cookies.update(redirect.cookies)
        return response


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Say what a page may load, and which pages may show it in a frame."""
    application = request.match_info.apps[-1][APPLICATION]
    ancestors = " ".join(application.settings.console.frame_ancestors) or "'none'"
    response.headers.setdefault("Content-Security-Policy", _CONTENT_POLICY + ancestors)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


async def _to_the_first_page(_: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={hdrs.LOCATION: f"{PREFIX}/"})
