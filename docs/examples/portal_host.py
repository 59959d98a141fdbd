"""Show a customer the portal in a frame of your own page: `portal_host.py ENVIRONMENT_ID PORT`.

The API is at NOTIFICATION_API_URL; NOTIFICATION_API_KEY is a key of scope `admin`.
"""

import os
import sys
from html import escape
from uuid import UUID

from aiohttp import web

from notification_client import NotificationClient


async def page(_: web.Request) -> web.Response:
    """Open a session for whoever is signed in to your application, and frame it."""
    url, key = os.environ["NOTIFICATION_API_URL"], os.environ["NOTIFICATION_API_KEY"]
    async with NotificationClient(url, api_key=key) as client:
        session = await client.create_portal_session(
            UUID(sys.argv[1]), "write", name="anna@customer.example", expires_in="8h"
        )
    frame = f'<iframe src="{escape(session.url)}" title="Webhooks" width="100%" height="800">'
    html = f"<!doctype html><title>Example</title><h1>Your application</h1>{frame}</iframe>"
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


app = web.Application()
app.router.add_get("/", page)
if __name__ == "__main__":
    web.run_app(app, host="localhost", port=int(sys.argv[2]))
