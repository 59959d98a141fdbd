"""API keys: who may call the API, made, listed and revoked by administrators."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.console.forms import Sent, refused_by, sent_form, text_of
from notification_entrypoints.console.page import ConsolePage, id_in, open_page

routes = web.RouteTableDef()

_SCOPES = ("read", "write", "admin")


@routes.get("/api-keys", name="api_keys")
async def api_keys(request: web.Request) -> web.StreamResponse:
    """Show the keys, newest first."""
    return await _show(await open_page(request))


@routes.post("/api-keys")
async def create(request: web.Request) -> web.StreamResponse:
    """Make a key and show it: this once, so that there is no redirect."""
    page, form = await open_page(request), await sent_form(request)
    chosen = text_of(form, "environments").split()
    is_for_all = form.get("reach") == "all"
    environments: object = "all" if is_for_all else chosen
    if not (is_for_all or chosen):
        wrong = {"environments": ["Name the environments, or choose all of them."]}
        return await _show(page, status=400, errors=wrong, draft=_sent(form))
    draft = {
        "name": text_of(form, "name"),
        "scope": text_of(form, "scope"),
        "environments": environments,
    }
    if expires := text_of(form, "expires_at"):
        draft["expires_at"] = expires
    try:
        made = await page.api.call("createApiKey", draft)
    except RequestRefused as refusal:
        return await _show(
            page,
            **refused_by(refusal, ("environments",)),
            draft=_sent(form),
        )
    return await _show(page, made=made.json)


def _sent(form: Sent) -> Mapping[str, str]:
    names = ("name", "scope", "reach", "environments", "expires_at")
    return {name: text_of(form, name) for name in names}


@routes.post("/api-keys/{key_id}/revoke", name="revoke_api_key")
async def revoke(request: web.Request) -> web.StreamResponse:
    """Revoke a key: it is rejected from now on."""
    page = await open_page(request)
    await page.api.call("revokeApiKey", key_id=id_in(request.match_info["key_id"]))
    return page.redirect("api_keys")


async def _show(page: ConsolePage, *, status: int = 200, **context: Any) -> web.Response:
    query = {"cursor": page.request.query.get("cursor")}
    listed = await page.api.call("listApiKeys", query=query)
    return page.render(
        "api_keys.html",
        status=status,
        active="api_keys",
        keys=listed.json,
        next_cursor=listed.next_cursor,
        scopes=_SCOPES,
        **{"errors": {}, "made": None, "draft": {}, **context},
    )
