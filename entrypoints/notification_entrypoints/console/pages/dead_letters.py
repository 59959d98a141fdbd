"""Dead letters: messages from Kafka of which no event could be made, and another try at them."""

from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from notification_entrypoints.api.problems import RequestRefused
from notification_entrypoints.console.forms import key_of, sent_form
from notification_entrypoints.console.json_view import json_view
from notification_entrypoints.console.keys import APPLICATION
from notification_entrypoints.console.page import ConsolePage, id_in, open_page
from notification_entrypoints.console.raw_bytes import ShownBytes, shown_bytes
from notification_entrypoints.console.rendering import rough

routes = web.RouteTableDef()

_PATH: Final = "/dead-letters/{letter_id}"


@routes.get("/dead-letters", name="dead_letters")
async def dead_letters(request: web.Request) -> web.StreamResponse:
    """List the dead letters, newest first."""
    return await _list(await open_page(request))


@routes.get(_PATH, name="dead_letter")
async def dead_letter(request: web.Request) -> web.StreamResponse:
    """Show why a message is not an event, and the message."""
    return await _show(await open_page(request))


@routes.post(_PATH)
async def replay(request: web.Request) -> web.StreamResponse:
    """Read a message again: show what it became, or what is still wrong with it.

    The dead letter is gone then, so the list is shown, with a link to the event. The same form sent
    once more is answered alike.
    """
    page, form = await open_page(request), await sent_form(request)
    letter_id = id_in(request.match_info["letter_id"])
    try:
        replayed = await page.api.call(
            "replayDeadLetter", letter_id=letter_id, idempotency_key=key_of(form)
        )
    except RequestRefused as refusal:
        if refusal.problem.value.http_code != HTTPStatus.CONFLICT:
            raise
        return await _show(page, refusal)
    return await _list(page, replayed.json)


async def _list(page: ConsolePage, replayed: Mapping[str, Any] | None = None) -> web.Response:
    query = {"cursor": page.request.query.get("cursor")}
    listed = await page.api.call("listDeadLetters", query=query)
    settings = page.request.app[APPLICATION].settings
    return page.render(
        "dead_letters.html",
        active="dead_letters",
        letters=listed.json,
        next_cursor=listed.next_cursor,
        replayed=replayed,
        retention=rough(settings.retention.events),
        consumes=settings.kafka.topic_names is not None,
    )


async def _show(page: ConsolePage, refusal: RequestRefused | None = None) -> web.Response:
    letter_id = id_in(page.request.match_info["letter_id"])
    letter = (await page.api.call("getDeadLetter", letter_id=letter_id)).json
    value = _bytes_of(letter, "value")
    return page.render(
        "dead_letter.html",
        status=refusal.problem.value.http_code if refusal else HTTPStatus.OK,
        active="dead_letters",
        letter=letter,
        key=_bytes_of(letter, "key"),
        value=value,
        tree=json_view(value.text) if value and value.text else None,
        headers=[(header["name"], _bytes_of(header, "value")) for header in letter["headers"]],
        produced_at=_instant_of(letter["timestamp"]),
        refusal=refusal,
    )


def _instant_of(timestamp: int) -> datetime | None:
    """Return the time that a producer wrote; None for a number that is none."""
    try:
        return datetime.fromtimestamp(timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _bytes_of(fields: Mapping[str, Any], name: str) -> ShownBytes | None:
    return shown_bytes(b64decode(fields[name])) if name in fields else None
