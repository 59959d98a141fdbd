"""The first page: the environments that whoever looks may see."""

from aiohttp import web

from notification_entrypoints.console.page import id_in, open_page

routes = web.RouteTableDef()


@routes.get("/", name="environments")
async def environments(request: web.Request) -> web.StreamResponse:
    """Show the environments, or the one that there is; ``?id=`` opens one."""
    page = await open_page(request)
    if chosen := request.query.get("id", "").strip():
        return page.redirect("overview", environment_id=id_in(chosen))
    reached = sorted(page.caller.environments or (), key=str)
    if len(reached) == 1 and page.caller.environments is not None:
        return page.redirect("overview", environment_id=reached[0])
    return page.render("environments.html", active="environments", environments=reached)
