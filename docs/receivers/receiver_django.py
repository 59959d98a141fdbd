"""Receive webhooks with Django: `python receiver_django.py runserver`, with KEYS_URL set.

In a project of yours the view goes to views.py, and its path to urls.py.
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from webhook_verifier import Rejected, WebhookVerifier

verifier = WebhookVerifier(
    os.environ.get("KEYS_URL"), os.environ.get("SIGNING_SECRETS", "").split()
)
processed: set[str] = set()  # yours is a table, written in the transaction of the effect


def receive(request: HttpRequest) -> HttpResponse:
    """Process an event once, however often it is delivered."""
    try:
        event = verifier.verify(request.body, request.headers)
    except Rejected as error:
        return HttpResponse(str(error), status=401)
    if event["id"] in processed:
        return HttpResponse("duplicate")
    processed.add(event["id"])
    print("processed", event["type"], event["id"])  # your own work
    return HttpResponse("processed")


# A signature takes the place of the token against cross-site request forgery.
urlpatterns = [path("webhooks", csrf_exempt(require_POST(receive)))]

if __name__ == "__main__":
    settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__)
    execute_from_command_line(sys.argv)
