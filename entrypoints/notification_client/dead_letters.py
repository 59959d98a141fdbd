"""Dead letters, for operators of the installation: the client's models and methods of them."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from notification_client.base import Model
from notification_client.errors import FieldError
from notification_client.transport import Transport

_PAGE = "100"


class DeadLetter(Model, frozen=True, kw_only=True):
    """A message from Kafka of which no event could be made, and the reason."""

    letter_id: UUID
    stored_at: datetime
    topic: str
    partition: int
    offset: int
    reason: str
    key_size: int | None = None
    value_size: int | None = None


class DeadLetterHeader(Model, frozen=True, kw_only=True):
    """A header of a message, which may have no value."""

    secret_fields: ClassVar[frozenset[str]] = frozenset({"value"})

    name: str
    value: bytes | None = None


class DeadLetterWithMessage(DeadLetter, frozen=True, kw_only=True):
    """A dead letter with its message; ``value_text`` is its value, if that is UTF-8.

    ``timestamp`` is its producer's word: any number, meant as milliseconds since 1970.
    """

    secret_fields: ClassVar[frozenset[str]] = frozenset({"key", "value", "value_text"})

    timestamp: int
    headers: list[DeadLetterHeader]
    key: bytes | None = None
    value: bytes | None = None
    value_text: str | None = None


class ReplayedDeadLetter(Model, frozen=True, kw_only=True):
    """The event that a dead letter was replayed as; a duplicate was known, and is not sent."""

    environment_id: UUID
    event_id: str
    event: str
    duplicate: bool
    warnings: list[FieldError] = msgspec.field(default_factory=list)


class DeadLetterMethods:
    """Lists, shows and replays dead letters; part of :class:`NotificationClient`.

    All of them need an API key of the scope ``admin`` for all environments.
    """

    transport: Transport

    async def dead_letters(self) -> AsyncIterator[DeadLetter]:
        """Yield the dead letters, newest first."""
        async for page in self.transport.pages("/dead-letters", {"limit": _PAGE}):
            for letter in msgspec.json.decode(page, type=list[DeadLetter]):
                yield letter

    async def dead_letter(self, letter_id: UUID) -> DeadLetterWithMessage:
        """Return a dead letter with its message."""
        response = await self.transport.get(f"/dead-letters/{letter_id}")
        return msgspec.json.decode(response.body, type=DeadLetterWithMessage)

    async def replay_dead_letter(self, letter_id: UUID) -> ReplayedDeadLetter:
        """Have a dead letter read again, and published if it is an event now.

        Otherwise it stays, and this raises :class:`ApiRefused` with the details.
        """
        response = await self.transport.post_once(f"/dead-letters/{letter_id}/replay")
        return msgspec.json.decode(response.body, type=ReplayedDeadLetter)
