"""The signing keys in use: made on first need, read again every half minute."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from attrs import frozen

from notification_core.model.request_records import RecordsOf, records_for
from notification_core.model.signing_key import SigningKey, new_signing_key, signing_at
from notification_core.ports.clock import Clock
from notification_core.ports.signing_keys import SigningKeyStore

FRESH_FOR = timedelta(seconds=30)
"""A rotated key must be in use everywhere within 60 s: half of that leaves room for the read."""

_MOST_ENVIRONMENTS = 10_000


@frozen
class _Entry:
    keys: tuple[SigningKey, ...]
    fresh_until: float


class SigningKeyCache:
    """Gives the keys of an environment; those that sign from memory, where they are fresh."""

    def __init__(self, store: SigningKeyStore, clock: Clock, new_seed: Callable[[], bytes]) -> None:
        self._store = store
        self._clock = clock
        self._new_seed = new_seed
        self._entries: OrderedDict[UUID, _Entry] = OrderedDict()
        self._reading: dict[UUID, asyncio.Lock] = {}

    async def keys(self, environment_id: UUID) -> Sequence[SigningKey]:
        """Return the keys that sign, the active one first; raise :class:`StorageUnavailable`."""
        entry = self._entries.get(environment_id)
        if entry is None or self._clock.monotonic() >= entry.fresh_until:
            entry = await self._read(environment_id)
        return entry.keys

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

    def invalidate(self, environment_id: UUID) -> None:
        """Read the keys anew when they are needed next: they have changed."""
        self._entries.pop(environment_id, None)

    async def _read(self, environment_id: UUID) -> _Entry:
        """Read the keys once for all who wait for them."""
        lock = self._reading.setdefault(environment_id, asyncio.Lock())
        try:
            async with lock:
                entry = self._entries.get(environment_id)
                now = self._clock.monotonic()
                if entry is None or now >= entry.fresh_until:
                    stored = await self.load_or_create(environment_id)
                    keys = tuple(signing_at(stored, self._clock.now()))
                    entry = _Entry(keys, now + FRESH_FOR.total_seconds())
                    self._entries[environment_id] = entry
                    self._entries.move_to_end(environment_id)
                    while len(self._entries) > _MOST_ENVIRONMENTS:
                        self._entries.popitem(last=False)
        finally:
            self._reading.pop(environment_id, None)
        return entry
