"""The signing keys in use: made on first need, read again every half minute."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from notification_core.concurrency.read_through_cache import ReadThroughCache
from notification_core.model.request_records import RecordsOf, records_for
from notification_core.model.signing_key import SigningKey, new_signing_key, signing_at
from notification_core.ports.clock import Clock
from notification_core.ports.signing_keys import SigningKeyStore

FRESH_FOR = timedelta(seconds=30)
"""A rotated key must be in use everywhere within 60 s: half of that leaves room for the read."""


class SigningKeyCache(ReadThroughCache[UUID, Sequence[SigningKey]]):
    """Gives the keys of an environment that sign, the active one first."""

    def __init__(self, store: SigningKeyStore, clock: Clock, new_seed: Callable[[], bytes]) -> None:
        super().__init__(self._signing_keys, clock, FRESH_FOR)
        self._store = store
        self._new_seed = new_seed

    async def load_or_create(
        self, environment_id: UUID, make_records: RecordsOf[SigningKey] | None = None
    ) -> Sequence[SigningKey]:
        """Return all keys that are stored, at least one; raise :class:`StorageUnavailable`.

        If the first one is made now, what ``make_records`` makes of it is written with it.
        """
        keys = await self._store.keys_of([environment_id])
        if keys:
            return keys
        key = new_signing_key(environment_id, self._clock.now(), self._new_seed())
        return await self._store.add_first(key, records_for(make_records, key))

    async def _signing_keys(self, environment_id: UUID) -> Sequence[SigningKey]:
        return tuple(signing_at(await self.load_or_create(environment_id), self._clock.now()))
