"""An environment's keys as its receivers see them, and their rotation.

A new key is published first, signs then, and is trusted for a while after the next one does.
Nothing happens when a time comes: where each key stands follows from its times, in every process
by itself. So a rotation is one write, and it is done.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from notification_core.environments.directory import Environments
from notification_core.errors import KeysChanged, RotationTooSoon
from notification_core.model.event import timestamp_of
from notification_core.model.request_records import RecordsOf, records_for
from notification_core.model.signing_key import (
    MAX_SIGNING_KEYS,
    KeyStatus,
    SigningKey,
    TrustedKey,
    new_signing_key,
    trusted_at,
)
from notification_core.ports.clock import Clock
from notification_core.ports.signing_keys import SigningKeyStore
from notification_core.signing.key_cache import SigningKeyCache

PUBLISHED_BEFORE = timedelta(hours=1)
"""How long a new key is published before it signs."""

TRUSTED_AFTER = timedelta(hours=24)
"""How long a key is trusted after the next one has begun to sign."""

EMERGENCY_TRUSTED_AFTER = timedelta(seconds=60)
"""The same in an emergency: as long as a running worker may take to sign by the new key."""

# Others who rotate at the same moment; more than a few are no coincidence.
_MAX_OVERTAKEN = 5


class SigningKeyService:
    """Publishes the keys of environments, and gives them new ones.

    Each method raises :class:`StorageUnavailable`, and as :meth:`Environments.require` does where
    the environment has no key yet: its first one is made then. No key is made of an environment
    that is being erased.
    """

    def __init__(
        self,
        store: SigningKeyStore,
        key_cache: SigningKeyCache,
        environments: Environments,
        clock: Clock,
        new_seed: Callable[[], bytes],
    ) -> None:
        self._store = store
        self._key_cache = key_cache
        self._environments = environments
        self._clock = clock
        self._new_seed = new_seed

    async def published(
        self, environment_id: UUID, make_records: RecordsOf[SigningKey] | None = None
    ) -> Sequence[TrustedKey]:
        """Return the keys to trust as they stand now, the active one first.

        If the first one is made now, what ``make_records`` makes of it is written with it.
        """
        return trusted_at(await self._stored(environment_id, make_records), self._clock.now())

    async def find_published(self, environment_id: UUID) -> Sequence[TrustedKey]:
        """Return the same without making anything: nothing if the environment has no key."""
        return trusted_at(await self._store.keys_of([environment_id]), self._clock.now())

    async def rotate(
        self,
        environment_id: UUID,
        make_records: RecordsOf[TrustedKey] | None = None,
        *,
        emergency: bool = False,
    ) -> TrustedKey:
        """Add a key to an environment and return it; the ones before it are retired.

        It is published at once, signs after an hour, and a day later the one before it is no
        longer to be trusted. In an emergency it signs at once, and no other key is trusted after
        a minute. Raises :class:`RotationTooSoon`, but in an emergency never,
        :class:`KeysChanged` where too many rotate at once, and :class:`ResponseAlreadyStored` if
        the request whose response ``make_records`` makes has one.
        """
        await self._environments.refuse_erased(environment_id)
        for _ in range(_MAX_OVERTAKEN):
            key = await self._next(environment_id, emergency=emergency)
            kept_for = EMERGENCY_TRUSTED_AFTER if emergency else TRUSTED_AFTER
            made = TrustedKey(key, KeyStatus.ACTIVE if emergency else KeyStatus.PENDING)
            try:
                await self._store.rotate(
                    key, key.not_before + kept_for, records_for(make_records, made)
                )
            except KeysChanged:
                continue
            self._key_cache.invalidate(environment_id)
            return made
        raise KeysChanged(environment_id)

    async def _stored(
        self, environment_id: UUID, make_records: RecordsOf[SigningKey] | None = None
    ) -> Sequence[SigningKey]:
        keys = await self._store.keys_of([environment_id])
        if keys:
            return keys
        await self._environments.require(environment_id)
        return await self._key_cache.load_or_create(environment_id, make_records)

    async def _next(self, environment_id: UUID, *, emergency: bool) -> SigningKey:
        """Return the key that comes after those that are stored, if it may come now."""
        keys = await self._stored(environment_id)
        now = self._clock.now()
        not_before = now if emergency else now + PUBLISHED_BEFORE
        if not emergency:
            # It must not come before the last one signs, or make one too many sign.
            for trusted in trusted_at(keys, now):
                if trusted.status is KeyStatus.PENDING:
                    why = "A new key is published already and will sign"
                    raise _too_soon(why, trusted.key.not_before)
            expiries = sorted(
                key.expires_at for key in keys if key.expires_at and key.is_trusted(not_before)
            )
            # With the latest one, which is to be kept too, and the new one.
            if len(expiries) + 2 > MAX_SIGNING_KEYS:
                why = f"{MAX_SIGNING_KEYS} keys sign, and the oldest is no longer needed"
                raise _too_soon(why, expiries[0] - PUBLISHED_BEFORE)
        number = max(key.number for key in keys) + 1
        return new_signing_key(environment_id, now, self._new_seed(), number, not_before)


def _too_soon(why: str, at: datetime) -> RotationTooSoon:
    when = timestamp_of(at)
    return RotationTooSoon(f"{why} from {when} on. Rotate again then, or at once in an emergency.")
