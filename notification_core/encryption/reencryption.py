"""Re-encrypting everything under the present secret, so that previous ones may be retired.

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
    """How many were re-encrypted, and how many no secret decrypts, with the places of some."""

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

    async def run(self, on_progress: Callable[[int], None]) -> Rekeyed:
        """Re-encrypt until a look at everything finds nothing left; then retire previous secrets.

        If there is anything that no secret decrypts, the previous ones go on opening the storage.
        ``on_progress`` is called with how many were done so far. Whoever still writes under a
        previous secret would make it endless: then :class:`RekeyOvertaken`.
        """
        rekeyed = Rekeyed()
        for _ in range(_MOST_PASSES):
            before = rekeyed.count
            rekeyed.unreadable, rekeyed.places = 0, []
            async for batch in self._store.reencrypt(_BATCH):
                rekeyed.unreadable += len(batch.unreadable)
                rekeyed.places = [*rekeyed.places, *batch.unreadable][:_MOST_NAMED]
                if batch.count:
                    rekeyed.count += batch.count
                    on_progress(rekeyed.count)
                    await self._clock.sleep(_REST)  # between two batches others come first
            if rekeyed.count == before:
                break
        else:
            raise RekeyOvertaken(
                "Other processes still encrypt under a previous secret. Restart them with the "
                "present one as DB_ENCRYPTION_SECRET, then run this again."
            )
        if not rekeyed.unreadable:
            await self._store.finish()
        return rekeyed
