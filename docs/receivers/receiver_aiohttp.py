"""Receive webhooks with aiohttp: `python receiver_aiohttp.py`, with KEYS_URL set."""

import asyncio
import os

from aiohttp import web
from webhook_verifier import Rejected, WebhookVerifier

verifier = WebhookVerifier(
    os.environ.get("KEYS_URL"), os.environ.get("SIGNING_SECRETS", "").split()
)
processed: set[str] = set()  # yours is a table, written in the transaction of the effect


async def receive(request: web.Request) -> web.Response:
    """Process an event once, however often it is delivered."""
    body = await request.read()
    try:
        event = await asyncio.to_thread(verifier.verify, body, request.headers)
    except Rejected as error:
        return web.Response(status=401, text=str(error))
    if event["id"] in processed:
        return web.Response(text="duplicate")
    processed.add(event["id"])
    print("processed", event["type"], event["id"])  # your own work
    return web.Response(text="processed")


app = web.Application(client_max_size=2 * 1024**2)  # an event has up to 1 MiB
app.router.add_post("/webhooks", receive)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
