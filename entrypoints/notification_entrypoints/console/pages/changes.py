"""The stream of an environment, for its pages that are open: it says that something has changed."""

import asyncio
from typing import Final

from aiohttp import hdrs, web

from notification_core.errors import SessionEnded, StorageUnavailable
from notification_entrypoints.api.audit_trail import REQUEST
from notification_entrypoints.api.problems import REQUEST_ID
from notification_entrypoints.console.page import open_page
from notification_entrypoints.console.streams import STREAMS, Streams

routes = web.RouteTableDef()

# A browser opens another stream so many milliseconds after one has ended.
_FIRST: Final = b"retry: 2000\n\n"
_CHANGED: Final = b"event: changed\ndata:\n\n"
_HEARTBEAT: Final = b": nothing has changed\n\n"
_ENDED: Final = b"event: ended\ndata:\n\n"
_HEADERS: Final = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    # nginx would wait for more.
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


@routes.get("/environments/{environment_id}/changes", name="changes", allow_head=False)
async def changes(request: web.Request) -> web.StreamResponse:
    """Say when something changes, for as long as the page is open and its session lasts."""
    page, streams = await open_page(request), request.app[STREAMS]
    with streams.place():
        response = web.StreamResponse(headers={**_HEADERS, REQUEST_ID: request[REQUEST]})
        await response.prepare(request)
        try:
            async with (
                asyncio.timeout(streams.rules.lifetime),
                streams.changes(page.environment) as changed,
            ):
                await response.write(_FIRST)
                await _tell(request, response, streams, changed)
        except (TimeoutError, ConnectionError):
            # The browser opens another one, or has gone.
            pass
    return response


async def _tell(
    request: web.Request, response: web.StreamResponse, streams: Streams, changed: asyncio.Event
) -> None:
    loop, pause = asyncio.get_running_loop(), streams.rules.heartbeat
    check_at = loop.time() + pause
    while True:
        message = _CHANGED
        try:
            async with asyncio.timeout_at(check_at):
                await changed.wait()
            changed.clear()
        except TimeoutError:
            check_at, message = loop.time() + pause, await _checked(request)
        if streams.is_ending:
            return
        await response.write(message)
        if message is _ENDED:
            return


async def _checked(request: web.Request) -> bytes:
    """Return what to say to whoever looks: that nothing has changed, or that the session is over.

    If that cannot be known, it is asked again with the next heartbeat.
    """
    try:
        await open_page(request)
    except StorageUnavailable:
        return _HEARTBEAT
    except (web.HTTPException, SessionEnded):
        return _ENDED
    return _HEARTBEAT
