"""Messages to a topic: operational events, which the platform may want to act on, and dead letters.

An operational event says what happened to a customer's webhooks.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import field, frozen

from notification_core.model.delivery import Attempt
from notification_core.model.event import timestamp_of
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


class FactType(StrEnum):
    """The kinds of facts, by the names that they are told under."""

    WEBHOOK_DISABLED = "webhook-disabled"
    DELIVERY_FAILED = "webhook-delivery-failed"
    KEY_ROTATED = "verification-key-rotated"


@frozen
class OperationalEvent:
    """Something that happened here, in an environment."""

    type: FactType
    environment_id: UUID
    occurred_at: datetime
    data: Mapping[str, object]


def webhook_disabled(
    environment_id: UUID, webhook_id: UUID, reason: DisabledReason, at: datetime
) -> OperationalEvent:
    """Return the fact that the system has disabled a webhook."""
    data = {"webhook_id": str(webhook_id), "reason": reason.value}
    return OperationalEvent(FactType.WEBHOOK_DISABLED, environment_id, at, data)


def delivery_failed(last: Attempt, at: datetime) -> OperationalEvent:
    """Return the fact that a delivery has failed for good, with its last attempt."""
    error = last.error
    data = {
        "webhook_id": str(last.webhook_id),
        "delivery_id": str(last.delivery_id),
        "event_id": last.event_id,
        "event": last.event_type,
        "attempts": last.number,
        **({"error": {"code": error.code.value, "message": error.message}} if error else {}),
    }
    return OperationalEvent(FactType.DELIVERY_FAILED, last.environment_id, at, data)


def key_rotated(key: SigningKey, others_expire_at: datetime) -> OperationalEvent:
    """Return the fact that an environment has a new key, and how long the others are trusted."""
    data = {
        "key_id": key.key_id,
        "not_before": timestamp_of(key.not_before),
        "others_expire_at": timestamp_of(others_expire_at),
    }
    return OperationalEvent(FactType.KEY_ROTATED, key.environment_id, key.created_at, data)


def message_of_fact(fact: OperationalEvent, message_id: UUID, topics: Topics) -> OutgoingMessage:
    """Return the message that tells a fact; those of an environment stay in order."""
    key = str(fact.environment_id).encode()
    return OutgoingMessage(message_id, topics.facts, key, text_of(fact, message_id), _JSON)


def message_of_dead_letter(letter: DeadLetter, message_id: UUID, topics: Topics) -> OutgoingMessage:
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


def text_of(fact: OperationalEvent, event_id: UUID) -> bytes:
    """Return a fact as JSON, in the form in which events come in."""
    told = {
        "event_id": str(event_id),
        "event": fact.type.value,
        "environment_id": str(fact.environment_id),
        "occurred_at": timestamp_of(fact.occurred_at),
        "data": fact.data,
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
