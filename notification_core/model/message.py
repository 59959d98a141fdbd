"""Messages as they come from a topic, those of which no event could be made, and the topics."""

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID, uuid5

from attrs import field, frozen

MAX_REASON_LENGTH = 1_000

_MESSAGES = UUID("8f3b0f5e-6c1d-5d0b-9a53-6d0c5f0c2b7e")

Headers = tuple[tuple[str, bytes | None], ...]


@frozen
class Topics:
    """The names of all topics; each begins with the installation's prefix.

    ``events`` are those that events come from, without the prefix.
    """

    prefix: str = ""
    events: tuple[str, ...] = ("pipeline-events", "job-events")

    @property
    def sources(self) -> Sequence[str]:
        """Where events come from."""
        return [f"{self.prefix}{name}" for name in self.events]

    @property
    def dead_letters(self) -> str:
        """Where messages go to that are not events."""
        return f"{self.prefix}notification-dead-letters"

    @property
    def operational_events(self) -> str:
        """Where operational events go to: what happened to webhooks and keys."""
        return f"{self.prefix}webhook-events"


@frozen
class Message:
    """A message where it stands: a partition of a topic, and its offset there.

    ``timestamp`` is in milliseconds since the epoch; it is its producer's word, and may be any
    number. ``value`` is None for one that has none.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None = field(repr=False)
    key: bytes | None = field(default=None, repr=False)
    headers: Headers = field(default=(), repr=False)

    @property
    def size(self) -> int:
        """Return how many bytes the producer sent."""
        named = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.value or b"") + len(self.key or b"") + named


@frozen
class DeadLetter:
    """A message of which no event could be made, and why."""

    message: Message
    reason: str


def identity_of(message: Message) -> UUID:
    """Return what makes a message the same message when it is read again.

    The time and the content are in it, so that a topic which is deleted and recreated, and counts
    its offsets from 0 again, does not bring known messages.
    """
    digest = sha256(message.value or b"").hexdigest()
    place = (message.topic, message.partition, message.offset, message.timestamp, digest)
    return uuid5(_MESSAGES, "\n".join(map(str, place)))


def dead_letter(message: Message, reason: str) -> DeadLetter:
    """Return a dead letter; its reason is cut, and is text that every storage can hold."""
    storable = reason.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return DeadLetter(message, storable[:MAX_REASON_LENGTH])
