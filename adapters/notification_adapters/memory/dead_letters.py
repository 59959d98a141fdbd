"""Dead letters in memory."""

from collections.abc import Sequence
from itertools import islice
from uuid import UUID

from notification_adapters.memory.state import MemoryState
from notification_core.errors import DeadLetterNotFound
from notification_core.ports.dead_letters import DeadLetters, DeadLetterSummary, StoredDeadLetter


class MemoryDeadLetters(DeadLetters):
    """Reads the dead letters that came with the events."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[DeadLetterSummary]:
        """Return dead letters by falling ``letter_id``, those below ``before`` only."""
        newest_first = sorted(self._state.dead_letters, reverse=True)
        older = (letter_id for letter_id in newest_first if before is None or letter_id < before)
        letters = (self._state.dead_letters[letter_id] for letter_id in islice(older, limit))
        return [letter.summary for letter in letters]

    async def get(self, letter_id: UUID) -> StoredDeadLetter:
        """Return one dead letter."""
        if letter_id not in self._state.dead_letters:
            raise DeadLetterNotFound(letter_id)
        return self._state.dead_letters[letter_id]
