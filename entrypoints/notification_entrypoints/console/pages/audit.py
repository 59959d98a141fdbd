"""The audit log: who changed what, when, and from where."""

from aiohttp import web

from notification_entrypoints.console.page import open_page

routes = web.RouteTableDef()


@routes.get("/environments/{environment_id}/audit", name="audit")
async def audit(request: web.Request) -> web.StreamResponse:
    """Show the changes of an environment, newest first."""
    page = await open_page(request)
    query = {"cursor": request.query.get("cursor"), "limit": 50}
    listed = await page.api.call("listAudit", environment_id=page.environment, query=query)
    return page.render(
        "audit.html",
        active="audit",
        entries=listed.json,
        next_cursor=listed.next_cursor,
        route="audit",
    )


@routes.get("/audit", name="installation_audit")
async def installation_audit(request: web.Request) -> web.StreamResponse:
    """Show the changes that concern no environment, newest first."""
    page = await open_page(request)
    query = {"cursor": request.query.get("cursor"), "limit": 50}
    listed = await page.api.call("listInstallationAudit", query=query)
    return page.render(
        "audit.html",
        active="installation_audit",
        entries=listed.json,
        next_cursor=listed.next_cursor,
        route="installation_audit",
    )
