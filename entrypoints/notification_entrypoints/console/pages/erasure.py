"""Erasing an environment: with confirmation, and its progress afterwards."""

from typing import Any

from aiohttp import web

from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.console.forms import sent_form, text_of
from notification_entrypoints.console.page import ConsolePage, open_page

routes = web.RouteTableDef()

_PATH = "/environments/{environment_id}/erasure"


@routes.get(_PATH, name="erasure")
async def erasure(request: web.Request) -> web.StreamResponse:
    """Show the latest erasure with its progress, and the form that begins one."""
    return await _show(await open_page(request))


@routes.post(_PATH)
async def erase(request: web.Request) -> web.StreamResponse:
    """Erase an environment whose id was typed."""
    page, form = await open_page(request), await sent_form(request)
    if text_of(form, "confirm") != str(page.environment):
        wrong = {"confirm": ["This is not the id of the environment. Type it as it stands above."]}
        return await _show(page, status=400, errors=wrong)
    await page.api.call("eraseEnvironment", environment_id=page.environment)
    return page.redirect("erasure")


async def _show(page: ConsolePage, *, status: int = 200, **context: Any) -> web.Response:
    try:
        found = (await page.api.call("getErasure", environment_id=page.environment)).json
    except RequestRefused as refusal:
        if refusal.problem is not Problem.ERASURE_NOT_FOUND:
            raise
        found = None
    return page.render(
        "erasure.html",
        status=status,
        active="erasure",
        erasure=found,
        **{"errors": {}, **context},
    )
