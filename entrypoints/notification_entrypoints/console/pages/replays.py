"""Replays of a webhook: count first, then start; progress, and cancelling."""

from typing import Any, Final

from aiohttp import web

from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.console.forms import key_of, refused_by, sent_form, text_of, texts_of
from notification_entrypoints.console.page import ConsolePage, id_in, open_page
from notification_entrypoints.console.subjects import webhook_of
from notification_entrypoints.console.webhook_states import state_of

routes = web.RouteTableDef()

_PATH: Final = "/environments/{environment_id}/webhooks/{webhook_id}/replays"
STATES: Final = ("failed", "skipped", "cancelled", "succeeded")
_USUAL: Final = ("failed", "skipped", "cancelled")


@routes.get(_PATH, name="replays")
async def replays(request: web.Request) -> web.StreamResponse:
    """Show the replays of a webhook, and the form for another one."""
    return await _show(await open_page(request))


@routes.post(_PATH)
async def replay(request: web.Request) -> web.StreamResponse:
    """Count the deliveries of a replay, or start it."""
    page, form = await open_page(request), await sent_form(request)
    webhook = await webhook_of(page)
    draft: dict[str, Any] = {"since": text_of(form, "since"), "states": [*texts_of(form, "states")]}
    if until := text_of(form, "until"):
        draft["until"] = until
    is_start = form.get("action") == "start"
    try:
        found = await page.api.call(
            "startReplay",
            draft if is_start else {**draft, "dry_run": True},
            webhook_id=webhook.json["webhook_id"],
            idempotency_key=key_of(form) if is_start else None,
        )
    except RequestRefused as refusal:
        return await _show(page, draft=draft, **refused_by(refusal, ("states",)))
    if is_start:
        return page.redirect("replays", webhook_id=webhook.json["webhook_id"])
    return await _show(page, draft=draft, count=found.json)


@routes.post(f"{_PATH}/{{replay_id}}/cancel", name="cancel_replay")
async def cancel(request: web.Request) -> web.StreamResponse:
    """Cancel a replay; what it has redelivered stays."""
    page = await open_page(request)
    webhook = await webhook_of(page)
    replay_id = id_in(request.match_info["replay_id"])
    webhook_id = webhook.json["webhook_id"]
    await page.api.call("cancelReplay", webhook_id=webhook_id, replay_id=replay_id)
    return page.redirect("replays", webhook_id=webhook_id)


async def _show(page: ConsolePage, *, status: int = 200, **context: Any) -> web.Response:
    webhook = await webhook_of(page)
    listed = await page.api.call(
        "listReplays",
        webhook_id=webhook.json["webhook_id"],
        query={"cursor": page.request.query.get("cursor")},
    )
    since = webhook.json["health"].get("since", "")
    usual = {"since": since, "states": _USUAL}
    return page.render(
        "replays.html",
        status=status,
        active="webhooks",
        webhook=webhook.json,
        state=state_of(webhook.json, page.now),
        replays=listed.json,
        next_cursor=listed.next_cursor,
        all_states=STATES,
        **{"errors": {}, "count": None, "draft": usual, **context},
    )
