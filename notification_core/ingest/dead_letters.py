"""Dead letters that are read again: after a fix, what was not an event may be one."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from attrs import frozen

from notification_core.errors import Detail
from notification_core.ingest.consumer import Read
from notification_core.ingest.data_validation import DataValidation
from notification_core.ingest.ingest import Ingest, Published
from notification_core.model.event import Event
from notification_core.model.request_records import RecordsOf, RequestRecords
from notification_core.ports.dead_letters import DeadLetters, DeadLetterSummary, StoredDeadLetter

_PAGE = 100


@frozen
class ReplayedLetter:
    """What a dead letter was read as, and that it is published; a duplicate was known before.

    ``misfits`` are what does not fit the schema of its type, if that is not rejected.
    """

    event: Event
    duplicate: bool
    misfits: Sequence[Detail] = ()


class DeadLetterReplay:
    """Lists dead letters, and takes them in after all."""

    def __init__(
        self, store: DeadLetters, ingest: Ingest, read: Read, validation: DataValidation
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._read = read
        self._validation = validation

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[DeadLetterSummary]:
        """Return dead letters, newest first, those below ``before`` only.

        Raises :class:`StorageUnavailable`.
        """
        return await self._store.page(limit, before)

    async def all(self) -> AsyncIterator[DeadLetterSummary]:
        """Yield all dead letters, newest first; raise :class:`StorageUnavailable`."""
        before = None
        while page := await self._store.page(_PAGE, before):
            for letter in page:
                yield letter
            before = page[-1].letter_id

    async def get(self, letter_id: UUID) -> StoredDeadLetter:
        """Return one with its bytes.

        Raises :class:`DeadLetterNotFound` and :class:`StorageUnavailable`.
        """
        return await self._store.get(letter_id)

    async def replay(
        self, letter_id: UUID, make_records: RecordsOf[ReplayedLetter] | None = None
    ) -> ReplayedLetter:
        """Read a dead letter again, and publish its event and delete the letter as one.

        Raises :class:`InvalidInput` where it is not an event still or its data is rejected,
        :class:`DeadLetterNotFound`, :class:`EnvironmentBeingErased`, and as :meth:`Ingest.publish`
        does: the letter stays then, or if it is unknown whether all was committed, is replayed.
        """
        stored = await self._store.get(letter_id)
        event = self._read(stored.dead_letter.message)
        misfits = self._validation.misfits([event])
        await self._validation.check([event], misfits, single=True)

        def records(published: Sequence[Published]) -> RequestRecords:
            return make_records(replayed(published[0])) if make_records else ()

        def replayed(published: Published) -> ReplayedLetter:
            return ReplayedLetter(event, published.duplicate, misfits.get(0, ()))

        published = await self._ingest.replay(letter_id, event, records)
        self._validation.count_stored([event], misfits, [published])
        return replayed(published)
