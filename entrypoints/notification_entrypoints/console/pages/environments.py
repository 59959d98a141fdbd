"""The first page: how the installation is, and the environments that whoever looks may see."""

from typing import Final

from aiohttp import web

from notification_entrypoints.console.installation import INSTALLATION
from notification_entrypoints.console.keys import APPLICATION
from notification_entrypoints.console.page import id_in, open_page

routes = web.RouteTableDef()

_SHOWN: Final = 50


@routes.get("/", name="environments")
async def environments(request: web.Request) -> web.StreamResponse:
    """Show the environments that have webhooks, or the one that there is; ``id`` opens one.

    ``after`` is the last one of the page before.
    """
    page = await open_page(request)
    if chosen := request.query.get("id", "").strip():
        return page.redirect("overview", environment_id=id_in(chosen))
    reached = page.caller.environments
    if reached is not None and len(reached) == 1:
        return page.redirect("overview", environment_id=next(iter(reached)))
    text = request.query.get("after")
    store = request.app[APPLICATION].storage.webhooks
    # One more than is shown tells whether there is a next page.
    found = await store.count_by_environment(_SHOWN + 1, id_in(text) if text else None, reached)
    shown = [*found.items()][:_SHOWN]
    if reached is not None and text is None:
        # They may have no webhooks yet: whoever may make some has to get there.
        shown += [(other, 0) for other in sorted(reached - found.keys())[:_SHOWN]]
    is_operator = reached is None and text is None
    return page.render(
        "environments.html",
        installation=await request.app[INSTALLATION].read() if is_operator else None,
        active="environments",
        environments=shown,
        next_after=shown[-1][0] if len(found) > _SHOWN else None,
    )
