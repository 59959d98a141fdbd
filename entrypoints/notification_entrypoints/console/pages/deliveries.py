"""A delivery: what exactly was sent, and what the receiver responded."""

import asyncio
from datetime import timedelta
from typing import Final

from aiohttp import web

from notification_core.errors import InvalidSignature
from notification_core.signing.verification import verify_signature
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.console.charts import WaterfallBar, waterfall
from notification_entrypoints.console.forms import key_of, sent_form
from notification_entrypoints.console.json_view import json_view
from notification_entrypoints.console.keys import APPLICATION
from notification_entrypoints.console.outcomes import sentence_of
from notification_entrypoints.console.page import ConsolePage, id_in, open_page
from notification_entrypoints.console.pages.events import event_body
from notification_entrypoints.console.phases import phase_figures
from notification_entrypoints.console.rendering import instant_of, milliseconds
from notification_entrypoints.console.webhook_states import WHAT_TO_DO, Fields

routes = web.RouteTableDef()

_PATH: Final = "/environments/{environment_id}/deliveries/{delivery_id}"
_MILLISECOND: Final = timedelta(milliseconds=1)


@routes.get(_PATH, name="delivery")
async def delivery(request: web.Request) -> web.StreamResponse:
    """Show a delivery with all of its attempts."""
    return await _show(await open_page(request))


@routes.post(f"{_PATH}/redeliver", name="redeliver")
async def redeliver(request: web.Request) -> web.StreamResponse:
    """Make one more delivery of the same event, and show it."""
    page, form = await open_page(request), await sent_form(request)
    delivery_id = id_in(request.match_info["delivery_id"])
    await _delivery_of(page)
    try:
        made = await page.api.call(
            "retryDelivery",
            delivery_id=delivery_id,
            idempotency_key=key_of(form),
        )
    except RequestRefused as refusal:
        return await _show(page, error=str(refusal), status=refusal.problem.value.http_code)
    return page.redirect("delivery", delivery_id=made.json["delivery_id"])


async def _delivery_of(page: ConsolePage) -> Fields:
    """Return the delivery that a path names.

    Raises :class:`aiohttp.web.HTTPNotFound` if it is of another environment than the path says.
    """
    delivery_id = id_in(page.request.match_info["delivery_id"])
    found: Fields = (await page.api.call("getDelivery", delivery_id=delivery_id)).json
    history = page.request.app[APPLICATION].storage.history
    if await history.environment_of(delivery_id) != page.environment:
        raise web.HTTPNotFound
    return found


async def _webhook(page: ConsolePage, webhook_id: str) -> Fields | None:
    try:
        fields: Fields = (await page.api.call("getWebhook", webhook_id=webhook_id)).json
    except RequestRefused as refusal:
        if refusal.problem is Problem.WEBHOOK_NOT_FOUND:
            return None
        raise
    return fields


async def _show(page: ConsolePage, *, status: int = 200, error: str = "") -> web.Response:
    found = await _delivery_of(page)
    webhook, body, settings = await asyncio.gather(
        _webhook(page, found["webhook_id"]),
        event_body(page, found["event_id"]),
        page.api.call("getSettings", environment_id=page.environment),
    )
    attempts = found["attempts"]
    return page.render(
        "delivery.html",
        status=status,
        active="webhooks",
        delivery=found,
        webhook=webhook,
        sentence=sentence_of(found, webhook, page.now),
        what_to_do=WHAT_TO_DO,
        body=body,
        tree=json_view(body) if body else None,
        signatures=[signature_of(attempt, body, settings.json) for attempt in attempts],
        responses=[_tree_of(attempt) for attempt in attempts],
        picture=_picture(found) if attempts else None,
        phases=[phase_figures(attempt) for attempt in attempts],
        error=error,
    )


def signature_of(attempt: Fields, body: str | None, settings: Fields) -> tuple[bool | None, str]:
    """Return whether the signature of a logged request is valid, and a sentence of it.

    None where that cannot be told: nothing was sent, or the body is not stored.
    """
    form = settings["public_verification_key"]["signature"]
    logged = attempt.get("request", {}).get("headers", {})
    headers = {name.lower(): text for name, text in logged.items()}
    signature = headers.get(form["header"].lower())
    if signature is None:
        return None, "No signed request was logged."
    if body is None:
        return None, "The body is no longer stored, so the signature cannot be verified here."
    key_id = headers.get(form["key_id_header"].lower())
    keys = [key["whpk"] for key in settings["verification_keys"]]
    try:
        verify_signature(
            body.encode(),
            signature,
            headers.get(form["timestamp_header"].lower(), ""),
            keys,
            now=instant_of(attempt["started_at"]),
        )
    except InvalidSignature:
        if key_id not in {key["id"] for key in settings["verification_keys"]}:
            return None, "It was signed with a key that has been retired since."
        return False, "The signature does not match the body that is stored."
    return True, "Verified here, with the environment's public key, over the body below."


def _tree_of(attempt: Fields) -> object:
    response = attempt.get("response")
    return json_view(response["body"]) if response and not response["truncated"] else None


def _picture(delivery: Fields) -> object:
    """Return when its attempts were made, counted from when the delivery was."""
    made = instant_of(delivery["created_at"])
    spans = [
        WaterfallBar(
            max(0.0, (instant_of(attempt["started_at"]) - made) / _MILLISECOND),
            attempt.get("duration_ms", 0),
            attempt["outcome"],
            _label(attempt, (instant_of(attempt["started_at"]) - made) / _MILLISECOND),
        )
        for attempt in delivery["attempts"]
    ]
    return waterfall("Attempts in time", spans)


def _label(attempt: Fields, after: float) -> str:
    took = attempt.get("duration_ms")
    lasted = f", took {milliseconds(took)}" if took is not None else ""
    return f"{attempt['attempt']}. {attempt['outcome']} after {milliseconds(max(0, after))}{lasted}"
