"""The verification keys of an environment, and their rotation."""

from typing import Any

from aiohttp import web

from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.console.forms import key_of, refused_by, sent_form, text_of
from notification_entrypoints.console.page import ConsolePage, open_page

routes = web.RouteTableDef()

_PATH = "/environments/{environment_id}/keys"


@routes.get(_PATH, name="keys")
async def keys(request: web.Request) -> web.StreamResponse:
    """Show the keys that receivers are to trust, the one that signs first."""
    return await _show(await open_page(request))


@routes.post(f"{_PATH}/rotate", name="rotate_key")
async def rotate(request: web.Request) -> web.StreamResponse:
    """Give the environment a new key: in an hour, or at once in an emergency."""
    page, form = await open_page(request), await sent_form(request)
    is_emergency = bool(text_of(form, "emergency"))
    if is_emergency and text_of(form, "confirm") != "replace the key now":
        wrong = {"confirm": ["Type replace the key now, since receivers fail until they know it."]}
        return await _show(page, status=400, errors=wrong)
    try:
        await page.api.call(
            "rotateVerificationKey",
            {"emergency": is_emergency},
            environment_id=page.environment,
            idempotency_key=key_of(form),
        )
    except RequestRefused as refusal:
        return await _show(page, **refused_by(refusal))
    return page.redirect("keys")


async def _show(page: ConsolePage, *, status: int = 200, **context: Any) -> web.Response:
    settings = await page.api.call("getSettings", environment_id=page.environment)
    return page.render(
        "keys.html",
        status=status,
        active="keys",
        keys=settings.json["verification_keys"],
        form=settings.json["public_verification_key"]["signature"],
        **{"errors": {}, **context},
    )
