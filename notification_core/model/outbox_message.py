"""Messages to a topic: operational events, which the platform may want to act on, and dead letters.

An operational event says what happened to a customer's webhooks.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import field, frozen

from notification_core.model.delivery import Attempt, UnsentDelivery
from notification_core.model.event import Event, timestamp_of
from notification_core.model.message import DeadLetter, Headers, Topics
from notification_core.model.signing_key import SigningKey
from notification_core.model.webhook import DisabledReason

_JSON: Headers = (("content-type", b"application/json"),)


@frozen
class OutgoingMessage:
    """A message to a topic; ids grow in the order in which messages are sent."""

    message_id: UUID
    topic: str
    key: bytes | None
    value: bytes | None = field(repr=False)
    headers: Headers = field(default=(), repr=False)


class OperationalEventType(StrEnum):
    """The kinds of operational events, by the names that they are sent under."""

    WEBHOOK_DISABLED = "webhook-disabled"
    WEBHOOK_PAUSED = "webhook-paused"
    WEBHOOK_RESUMED = "webhook-resumed"
    DELIVERY_FAILED = "webhook-delivery-failed"
    KEY_ROTATED = "verification-key-rotated"


@frozen
class OperationalEvent:
    """Something that happened here, in an environment."""

    type: OperationalEventType
    environment_id: UUID
    occurred_at: datetime
    data: Mapping[str, object]


def webhook_disabled(
    environment_id: UUID, webhook_id: UUID, reason: DisabledReason, at: datetime
) -> OperationalEvent:
    """Return the event that the system has disabled a webhook."""
    data = {"webhook_id": str(webhook_id), "reason": reason.value}
    return OperationalEvent(OperationalEventType.WEBHOOK_DISABLED, environment_id, at, data)


def webhook_paused(
    environment_id: UUID, webhook_id: UUID, failures: int, next_probe_at: datetime, at: datetime
) -> OperationalEvent:
    """Return the event that the circuit breaker has paused a webhook, after so many failures."""
    data = {
        "webhook_id": str(webhook_id),
        "consecutive_failures": failures,
        "next_probe_at": timestamp_of(next_probe_at),
    }
    return OperationalEvent(OperationalEventType.WEBHOOK_PAUSED, environment_id, at, data)


def webhook_resumed(
    environment_id: UUID, webhook_id: UUID, paused_since: datetime, at: datetime
) -> OperationalEvent:
    """Return the event that a webhook that was paused is sent to again."""
    data = {"webhook_id": str(webhook_id), "paused_since": timestamp_of(paused_since)}
    return OperationalEvent(OperationalEventType.WEBHOOK_RESUMED, environment_id, at, data)


def delivery_failed(last: Attempt, at: datetime) -> OperationalEvent:
    """Return the event that a delivery has failed permanently, with its last attempt."""
    error = last.error
    data = {
        "webhook_id": str(last.webhook_id),
        "delivery_id": str(last.delivery_id),
        "event_id": last.event_id,
        "event": last.event_type,
        "attempts": last.number,
        **({"error": {"code": error.code.value, "message": error.message}} if error else {}),
    }
    return OperationalEvent(OperationalEventType.DELIVERY_FAILED, last.environment_id, at, data)


def delivery_given_up(delivery: UnsentDelivery, at: datetime) -> OperationalEvent:
    """Return the event that a delivery has failed while it waited for its webhook."""
    data = {
        "webhook_id": str(delivery.webhook_id),
        "delivery_id": str(delivery.delivery_id),
        "event_id": delivery.event_id,
        "event": delivery.event_type,
        "attempts": delivery.attempts,
        "reason": delivery.reason.value,
    }
    return OperationalEvent(OperationalEventType.DELIVERY_FAILED, delivery.environment_id, at, data)


def key_rotated(key: SigningKey, others_expire_at: datetime) -> OperationalEvent:
    """Return the event that an environment has a new key, and how long the others are trusted."""
    data = {
        "key_id": key.key_id,
        "not_before": timestamp_of(key.not_before),
        "others_expire_at": timestamp_of(others_expire_at),
    }
    return OperationalEvent(
        OperationalEventType.KEY_ROTATED, key.environment_id, key.created_at, data
    )


def operational_event_message(
    event: OperationalEvent, message_id: UUID, topics: Topics
) -> OutgoingMessage:
    """Return an operational event as a message, as JSON in the form in which events are published.

    The messages of an environment stay in order.
    """
    envelope = {
        "event_id": str(message_id),
        "event": event.type.value,
        "environment_id": str(event.environment_id),
        "occurred_at": timestamp_of(event.occurred_at),
        "data": event.data,
    }
    value = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    key = str(event.environment_id).encode()
    return OutgoingMessage(message_id, topics.operational_events, key, value, _JSON)


def reaches_webhooks(event: OperationalEvent, operational_environment: UUID) -> bool:
    """Tell whether an operational event is for the webhooks of an environment.

    Not what happens to these webhooks themselves: each event that cannot be delivered would make
    another one.
    """
    is_theirs = event.environment_id == operational_environment
    return not is_theirs or event.type is OperationalEventType.KEY_ROTATED


def published_operational_event(
    event: OperationalEvent, message_id: UUID, operational_environment: UUID
) -> Event:
    """Return an operational event as an event of the environment whose webhooks are sent it.

    It has the id of the message to the topic. Its data names the environment that it is about, and
    ordered webhooks receive what is about the same webhook one after another.
    """
    data = {"environment_id": str(event.environment_id), **event.data}
    return Event(
        event_id=str(message_id),
        environment_id=operational_environment,
        type=event.type.value,
        occurred_at=event.occurred_at,
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(),
        ordering_key=str(event.data.get("webhook_id", event.environment_id)),
    )


def dead_letter_message(letter: DeadLetter, message_id: UUID, topics: Topics) -> OutgoingMessage:
    """Return a dead letter as a message: what it was, with headers that say why and where from."""
    message = letter.message
    headers: Headers = (
        *message.headers,
        ("dead-letter-reason", letter.reason.encode()),
        ("dead-letter-topic", message.topic.encode()),
        ("dead-letter-partition", b"%d" % message.partition),
        ("dead-letter-offset", b"%d" % message.offset),
    )
    return OutgoingMessage(message_id, topics.dead_letters, message.key, message.value, headers)
