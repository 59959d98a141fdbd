"""How a receiver verifies requests: code, the environment's keys, and signing secrets."""

import asyncio
from typing import Any

from aiohttp import web

from notification_core.model.caller import Scope
from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.console.forms import key_of, refused_by, sent_form, text_of
from notification_entrypoints.console.page import ConsolePage, id_in, open_page
from notification_entrypoints.console.subjects import webhook_of
from notification_entrypoints.console.verification_code import LANGUAGES, verification_code
from notification_entrypoints.console.webhook_states import state_of

routes = web.RouteTableDef()

_PATH = "/environments/{environment_id}/webhooks/{webhook_id}/verification"


@routes.get(_PATH, name="verify_webhook")
async def verification(request: web.Request) -> web.StreamResponse:
    """Show the code in the ``language`` of the URL, and the signing secrets."""
    return await _show(await open_page(request))


@routes.post(f"{_PATH}/secrets", name="new_secret")
async def create_secret(request: web.Request) -> web.StreamResponse:
    """Make a signing secret and show it: this once, so that there is no redirect."""
    page, form = await open_page(request), await sent_form(request)
    webhook = await webhook_of(page)
    given = text_of(form, "secret")
    try:
        made = await page.api.call(
            "createSigningSecret",
            {"secret": given} if given else {},
            webhook_id=webhook.json["webhook_id"],
            idempotency_key=key_of(form),
        )
    except RequestRefused as refusal:
        return await _show(page, **refused_by(refusal))
    return await _show(page, made=made.json)


@routes.post(f"{_PATH}/secrets/{{secret_id}}/revoke", name="revoke_secret")
async def revoke_secret(request: web.Request) -> web.StreamResponse:
    """Revoke a signing secret."""
    page = await open_page(request)
    webhook = await webhook_of(page)
    secret_id = id_in(request.match_info["secret_id"])
    webhook_id = webhook.json["webhook_id"]
    await page.api.call("revokeSigningSecret", webhook_id=webhook_id, secret_id=secret_id)
    return page.redirect("verify_webhook", webhook_id=webhook_id)


async def _show(page: ConsolePage, *, status: int = 200, **context: Any) -> web.Response:
    webhook = await webhook_of(page)
    settings, secrets = await asyncio.gather(
        page.api.call("getSettings", environment_id=page.environment),
        page.api.call("listSigningSecrets", webhook_id=webhook.json["webhook_id"]),
    )
    language = page.request.query.get("language", "")
    language = language if language in LANGUAGES else next(iter(LANGUAGES))
    return page.render(
        "webhook_secrets.html",
        status=status,
        active="webhooks",
        webhook=webhook.json,
        state=state_of(webhook.json, page.now),
        settings=settings.json,
        code=verification_code(settings.json, language),
        languages=LANGUAGES,
        language=language,
        secrets=secrets.json,
        may_write=page.may(Scope.WRITE),
        **{"errors": {}, "made": None, **context},
    )
