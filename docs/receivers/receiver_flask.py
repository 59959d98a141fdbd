"""Receive webhooks with Flask: `flask --app receiver_flask run`, with KEYS_URL set."""

import os

from flask import Flask, request
from webhook_verifier import Rejected, WebhookVerifier

verifier = WebhookVerifier(
    os.environ.get("KEYS_URL"), os.environ.get("SIGNING_SECRETS", "").split()
)
processed: set[str] = set()  # yours is a table, written in the transaction of the effect
app = Flask(__name__)


def receive() -> tuple[str, int]:
    """Process an event once, however often it is delivered."""
    try:
        event = verifier.verify(request.get_data(), dict(request.headers))
    except Rejected as error:
        return str(error), 401
    if event["id"] in processed:
        return "duplicate", 200
    processed.add(event["id"])
    print("processed", event["type"], event["id"])  # your own work
    return "processed", 200


app.add_url_rule("/webhooks", view_func=receive, methods=["POST"])
