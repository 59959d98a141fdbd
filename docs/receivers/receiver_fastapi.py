"""Receive webhooks with FastAPI: `uvicorn receiver_fastapi:app`, with KEYS_URL set."""

import asyncio
import os

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from webhook_verifier import Rejected, WebhookVerifier

verifier = WebhookVerifier(
    os.environ.get("KEYS_URL"), os.environ.get("SIGNING_SECRETS", "").split()
)
processed: set[str] = set()  # yours is a table, written in the transaction of the effect
app = FastAPI()


@app.post("/webhooks")
async def receive(request: Request) -> PlainTextResponse:
    """Process an event once, however often it is delivered."""
    body = await request.body()  # not a model as parameter: the raw bytes are signed
    try:
        event = await asyncio.to_thread(verifier.verify, body, request.headers)
    except Rejected as error:
        return PlainTextResponse(str(error), status_code=401)
    if event["id"] in processed:
        return PlainTextResponse("duplicate")
    processed.add(event["id"])
    print("processed", event["type"], event["id"])  # your own work
    return PlainTextResponse("processed")
