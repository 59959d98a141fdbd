"""How webhooks and deliveries are, in words: states, and why, as sentences."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from notification_entrypoints.console.rendering import instant_of

Fields = Mapping[str, Any]

_DISABLED_BECAUSE: Final = {
    "gone": "The receiver responded with 410 Gone. Enable it once the URL is right.",
    "failing": "Every attempt failed for days. Enable it once the receiver works again.",
}
REASONS: Final = {
    "webhook_disabled": "The webhook was disabled when the event arrived.",
    "webhook_deleted": "The webhook was deleted.",
    "queue_full": "Too many deliveries of the webhook were waiting already.",
    "filter_not_matched": "The webhook's filter does not match the event.",
    "expired": "It waited longer than events are kept.",
    "interrupted": "Ten attempts in a row were interrupted.",
    "webhook_paused": "The webhook was paused for too long; its receiver did not respond.",
}
"""Why a delivery ended otherwise than by its receiver's responses."""

WHAT_TO_DO: Final = {
    "timeout": "The receiver must respond within the timeout: acknowledge first, work later.",
    "dns": "The name of the host cannot be resolved: check the URL and its DNS records.",
    "connect": "Nothing accepts connections there: check that the receiver runs and is reachable.",
    "tls": "The TLS handshake failed: check the certificate, its name and its chain.",
    "destination_not_allowed": "The address is not allowed as a destination: use a public one.",
    "redirect_not_followed": "Redirects are not followed: set the webhook's URL to the new place.",
    "invalid_response": "The response is not valid HTTP: check what listens there.",
    "http_status": "Any status but 2xx is a failure: look for the cause in the receiver's log.",
    "gone": "410 tells us to send nothing more: the webhook is disabled until somebody enables it.",
    "interrupted": "The sending process ended meanwhile. The attempt is repeated automatically.",
}
"""What helps, by the code of an attempt's error."""


@frozen
class WebhookState:
    """The state of a webhook in a word, why it is so in a sentence, and since when.

    ``reason`` is empty for one that nobody needs to look at.
    """

    word: str
    reason: str = ""
    since: str | None = None


def state_of(webhook: Fields, now: datetime) -> WebhookState:
    """Return how a webhook is, as the API shows it."""
    health = webhook["health"]
    if reason := webhook.get("disabled_reason"):
        return WebhookState("disabled", _DISABLED_BECAUSE[reason], webhook["updated_at"])
    if is_disabled(webhook, now):
        return WebhookState("disabled")
    if health["state"] == "paused":
        waits = "Deliveries wait without using retries; one at a time is tried."
        return WebhookState("paused", waits, health.get("since"))
    if health["state"] == "failing":
        failed = f"{health['consecutive_failures']:,} attempts in a row have failed."
        return WebhookState("failing", failed, health.get("since"))
    return WebhookState("healthy")


def is_disabled(webhook: Fields, now: datetime) -> bool:
    """Tell whether a webhook is disabled now."""
    until = webhook.get("disabled_until")
    return until is not None and instant_of(until) > now
