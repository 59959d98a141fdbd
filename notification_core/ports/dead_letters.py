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


class DeadLetters(Protocol):
    """Reads dead letters, which are written with the events that came beside them.

    They belong to no environment: nobody could read whose they are. All methods raise
    :class:`StorageUnavailable`.
    """

    @abstractmethod
    async def page(self, limit: int, before: UUID | None = None) -> Sequence[StoredDeadLetter]:
        """Return dead letters by falling ``letter_id``, those below ``before`` only."""

    @abstractmethod
    async def get(self, letter_id: UUID) -> StoredDeadLetter:
        """Return one dead letter; raise :class:`DeadLetterNotFound`."""

    @abstractmethod
    async def remove(self, letter_id: UUID) -> None:
        """Delete a dead letter that was ingested after all; one that is gone is not an error."""
