"""Messages on their way to a topic."""

from uuid import UUID

from attrs import field, frozen

from notification_core.model.message import DeadLetter, Headers
from notification_core.model.operational_events import OperationalEvent, text_of
from notification_core.model.topics import Topics

_JSON: Headers = (("content-type", b"application/json"),)


@frozen
class OutgoingMessage:
    """A message to a topic; ids grow in the order in which messages are sent."""

    message_id: UUID
    topic: str
    key: bytes | None
    value: bytes | None = field(repr=False)
    headers: Headers = field(default=(), repr=False)


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
