"""Encrypting everything anew under the present secret, so that the former ones may be forgotten.

Nothing is written down of how far it is: the texts themselves say under which secret they are.
"""

from collections.abc import Callable

from attrs import define, field

from notification_core.errors import RekeyOvertaken
from notification_core.ports.clock import Clock
from notification_core.ports.encrypted_columns import EncryptedColumns

_BATCH = 200
_REST = 0.01
_MOST_PASSES = 5
_MOST_NAMED = 10


@define
class Rekeyed:
    """How many were encrypted anew, and how many no secret opens, with the places of some."""

    count: int = 0
    unreadable: int = 0
    places: list[str] = field(factory=list)


class Reencryption:
    """Carries it out while others go on using the storage; raises :class:`StorageUnavailable`."""

    def __init__(self, store: EncryptedColumns, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def outdated(self) -> int:
        """Return how many texts are under another secret now."""
        return await self._store.outdated()

    async def run(self, tell: Callable[[int], None]) -> Rekeyed:
        """Encrypt anew until a look at everything finds nothing left; then let go of the former.

        With anything that no secret opens the former ones go on opening the storage. ``tell`` is
        called with how many were done so far. Whoever still writes under a former secret would
        make it endless: then :class:`RekeyOvertaken`.
        """
        rekeyed = Rekeyed()
        for _ in range(_MOST_PASSES):
            before = rekeyed.count
            await self._pass(rekeyed, tell)
            if rekeyed.count == before:
                break
        else:
            raise RekeyOvertaken(
                "Other processes still encrypt under a former secret. Start them anew with the "
                "present one as DB_ENCRYPTION_SECRET, then run this again."
            )
        if not rekeyed.unreadable:
            await self._store.finish()
        return rekeyed

    async def _pass(self, rekeyed: Rekeyed, tell: Callable[[int], None]) -> None:
        """Go through everything once; between two batches others come first."""
        rekeyed.unreadable, rekeyed.places = 0, []
        async for batch in self._store.reencrypt(_BATCH):
            rekeyed.unreadable += len(batch.unreadable)
            rekeyed.places = [*rekeyed.places, *batch.unreadable][:_MOST_NAMED]
            if batch.count:
                rekeyed.count += batch.count
                tell(rekeyed.count)
                await self._clock.sleep(_REST)
