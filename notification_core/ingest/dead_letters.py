"""Dead letters that are read again: after a fix, what was not an event may be one."""

from collections.abc import AsyncIterator
from uuid import UUID

from notification_core.ingest.consumer import Read
from notification_core.ingest.data_validation import DataValidation
from notification_core.ingest.ingest import Ingest
from notification_core.model.event import Event
from notification_core.ports.dead_letters import DeadLetters, StoredDeadLetter

_PAGE = 100


class DeadLetterReplay:
    """Lists dead letters, and takes them in after all."""

    def __init__(
        self, store: DeadLetters, ingest: Ingest, read: Read, validation: DataValidation
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._read = read
        self._validation = validation

    async def all(self) -> AsyncIterator[StoredDeadLetter]:
        """Yield all dead letters, newest first; raise :class:`StorageUnavailable`."""
        before = None
        while page := await self._store.page(_PAGE, before):
            for letter in page:
                yield letter
            before = page[-1].letter_id

    async def replay(self, letter_id: UUID) -> Event:
        """Read a dead letter again, publish its event and delete the letter.

        Cut off in the middle it may be done again: the event is known by its id then. Raises
        :class:`InvalidInput` where it is not an event still or its data is rejected,
        :class:`DeadLetterNotFound`, and as :meth:`Ingest.publish` does.
        """
        stored = await self._store.get(letter_id)
        event = self._read(stored.dead_letter.message)
        await self._validation.check([event], self._validation.misfits([event]), single=True)
        await self._ingest.publish([event])
        await self._store.remove(letter_id)
        return event
