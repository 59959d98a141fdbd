"""Why an event has arrived at a webhook, or has not: as a sentence, for every webhook."""

from datetime import datetime
from typing import Final

from attrs import frozen

from notification_entrypoints.console.rendering import instant_of
from notification_entrypoints.console.webhook_states import REASONS, Fields, is_disabled

_ORIGINS: Final = {
    "retry": "It was redelivered by hand.",
    "replay": "A replay made it.",
    "test": "It is a test.",
}


@frozen
class Outcome:
    """The delivery status of an event at a webhook: a state, and why.

    ``delivery`` is the latest one, None if there is none: then the state is ``not sent``.
    """

    webhook_name: str
    webhook_id: str
    state: str
    sentence: str
    delivery: Fields | None = None
    earlier: int = 0


def outcome_at(webhook: Fields, event: Fields, deliveries: list[Fields], now: datetime) -> Outcome:
    """Return an event's delivery status at a webhook, whose ``deliveries`` come latest first."""
    named = webhook["name"], webhook["webhook_id"]
    if not deliveries:
        return Outcome(*named, "not sent", why_not_sent(webhook, event))
    latest = deliveries[0]
    is_retrying = latest["state"] == "pending" and latest["attempt"]
    return Outcome(
        *named,
        "retrying" if is_retrying else latest["state"],
        sentence_of(latest, webhook, now),
        latest,
        len(deliveries) - 1,
    )


def why_not_sent(webhook: Fields, event: Fields) -> str:
    """Return why there is no delivery of an event to a webhook."""
    if instant_of(webhook["created_at"]) > instant_of(event["stored_at"]):
        return "The webhook was created after the event had arrived."
    if event["event"] not in webhook["events"]:
        return f"The webhook does not subscribe to {event['event']}."
    if instant_of(webhook["updated_at"]) > instant_of(event["stored_at"]):
        return "The webhook did not subscribe to it then: it has been changed since."
    return "There is no delivery: it is past its retention, or the webhook was disabled for long."


def sentence_of(delivery: Fields, webhook: Fields | None, now: datetime) -> str:
    """Return how a delivery stands, and why."""
    attempts = f"{delivery['attempt']} attempt{'' if delivery['attempt'] == 1 else 's'}"
    match delivery["state"]:
        case "succeeded":
            told = f"Delivered with {attempts}."
        case "pending":
            told = _pending(delivery, webhook, now)
        case "failed" if "reason" not in delivery:
            told = f"Failed after {attempts}: all retries are used, or cannot help."
        case _:
            told = REASONS.get(delivery.get("reason", ""), f"Ended as {delivery['state']}.")
    origin = _ORIGINS.get(delivery.get("origin", ""), "")
    return f"{told} {origin}".strip()


def _pending(delivery: Fields, webhook: Fields | None, now: datetime) -> str:
    if delivery.get("held"):
        return "Waits for an earlier event with the same ordering key."
    if webhook and is_disabled(webhook, now):
        return "Waits: the webhook is disabled."
    if webhook and webhook["health"]["state"] == "paused":
        return "Waits: the webhook is paused, since its receiver keeps failing."
    if webhook and "rate_limit" in webhook:
        return f"Waits for its turn: at most {webhook['rate_limit']:,} requests per second."
    if not delivery["attempt"]:
        return "Waits for its first attempt."
    return "The last attempt failed; it is retried."
