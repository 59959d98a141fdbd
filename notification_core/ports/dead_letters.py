"""Messages that were not events, for people to look at and to try again."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from attrs import frozen

from notification_core.model.message import DeadLetter


@frozen
class StoredDeadLetter:
    """A dead letter as it is kept, and since when."""

    letter_id: UUID
    stored_at: datetime
    dead_letter: DeadLetter

    @property
    def summary(self) -> "DeadLetterSummary":
        """The same without its bytes."""
        message = self.dead_letter.message
        return DeadLetterSummary(
            letter_id=self.letter_id,
            stored_at=self.stored_at,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=self.dead_letter.reason,
            key_size=None if message.key is None else len(message.key),
            value_size=None if message.value is None else len(message.value),
        )


@frozen
class DeadLetterSummary:
    """A dead letter without its bytes, but with how many there are; None if it has no key or value.

    A message may have a value of a megabyte and more: a page of these is small all the same.
    """

    letter_id: UUID
    stored_at: datetime
    topic: str
    partition: int
    offset: int
    reason: str
    key_size: int | None
    value_size: int | None


class DeadLetters(Protocol):
    """Reads dead letters: an :class:`IngestTransaction` writes and deletes them.

    They belong to no environment: nobody could read whose they are. All methods raise
    :class:`StorageUnavailable`.
    """

    @abstractmethod
    async def page(self, limit: int, before: UUID | None = None) -> Sequence[DeadLetterSummary]:
        """Return dead letters by falling ``letter_id``, those below ``before`` only."""

    @abstractmethod
    async def get(self, letter_id: UUID) -> StoredDeadLetter:
        """Return one dead letter; raise :class:`DeadLetterNotFound`."""
