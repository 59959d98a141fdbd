"""Authentication by API keys."""

import hashlib
from datetime import timedelta
from uuid import UUID

from notification_core.concurrency.rate_limiter import RateLimiter
from notification_core.concurrency.read_through_cache import ReadThroughCache
from notification_core.errors import ApiKeyNotFound, CredentialRefused
from notification_core.model.api_key import ApiKey, KeyState, api_key_id_in, matches_hash
from notification_core.model.caller import Caller, Scope
from notification_core.model.console_session import CredentialGrant
from notification_core.model.event import timestamp_of
from notification_core.ports.api_keys import ApiKeyStore
from notification_core.ports.clock import Clock
from notification_core.ports.credentials import CredentialScheme

FRESH_FOR = timedelta(seconds=1)
"""How long a key, or that there is none, is known without being read again.

A revocation takes effect within it, and a store is asked for no id more often.
"""

_UNKNOWN = "There is no such API key. Make one with `notification-management keys create`."
_KEY = "key:"


class StoredKeys(CredentialScheme):
    """API keys of the store, each id read at most once per second."""

    def __init__(self, store: ApiKeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # By the id as it stands in a key: a frequent caller does not pay for its parsing.
        self._found = ReadThroughCache(self._find, clock, FRESH_FOR)
        self._missing = RateLimiter(1 / FRESH_FOR.total_seconds(), burst=1)

    def accepts(self, credential: str) -> bool:
        """Tell whether a credential looks like a key."""
        return api_key_id_in(credential) is not None

    def subject(self, credential: str) -> str | None:
        """Return which key this says that it is."""
        key_id = api_key_id_in(credential)
        return None if key_id is None else f"key:{key_id}"

    async def caller(self, credential: str) -> Caller:
        """Return whose key this is."""
        _, caller = await self._checked(credential)
        return caller

    async def grant(self, credential: str) -> CredentialGrant:
        """Return what a key gives; its id is not a secret."""
        key, caller = await self._checked(credential)
        return CredentialGrant(caller, f"{_KEY}{key.key_id.hex}", key.expires_at)

    async def is_valid(self, reference: str) -> bool:
        """Tell whether a key is neither revoked nor expired, as soon as its callers are told."""
        if not reference.startswith(_KEY):
            return False
        try:
            key_id = UUID(reference.removeprefix(_KEY))
            key, _ = await self._found.get(key_id.hex)
        except (ValueError, CredentialRefused):  # of what is not an id, too
            return False
        return key.state(self._clock.now()) is KeyState.ACTIVE

    async def _checked(self, credential: str) -> tuple[ApiKey, Caller]:
        key_id = api_key_id_in(credential)
        if key_id is None:
            raise CredentialRefused(_UNKNOWN)
        key, caller = await self._found.get(key_id)
        if problem := self._problem(key, credential):
            raise CredentialRefused(problem)
        return key, caller

    def invalidate(self, key_id: UUID) -> None:
        """Read a key again when it is used next: it has changed."""
        self._found.invalidate(key_id.hex)

    def _problem(self, key: ApiKey, credential: str) -> str | None:
        """Say why a key is rejected; only who has its secret is told more than that."""
        if not matches_hash(credential, key.digest):
            return _UNKNOWN
        match key.state(self._clock.now()):
            case KeyState.REVOKED:
                return "The API key was revoked. Use another one."
            case KeyState.EXPIRED:
                at = f" at {timestamp_of(key.expires_at)}" if key.expires_at else ""
                return f"The API key expired{at}. Use another one."
            case KeyState.ACTIVE:
                return None

    async def _find(self, key_id: str) -> tuple[ApiKey, Caller]:
        now = self._clock.monotonic()
        if self._missing.wait(key_id, now) > 0:
            raise CredentialRefused(_UNKNOWN)
        try:
            key = await self._store.find(UUID(key_id))
        except ApiKeyNotFound:
            self._missing.count(key_id, now)
            raise CredentialRefused(_UNKNOWN) from None
        return key, key.caller


class BootstrapKey(CredentialScheme):
    """The one key that is not stored: an administrator's, for as long as it is configured."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def accepts(self, credential: str) -> bool:
        """Tell whether this is the key: there is only one."""
        return matches_hash(credential, self._digest)

    def subject(self, credential: str) -> str | None:
        """Return nothing: what is not the key is not of this kind."""

    async def caller(self, credential: str) -> Caller:
        """Return the administrator."""
        if not self.accepts(credential):
            raise CredentialRefused(_UNKNOWN)
        return Caller("bootstrap", Scope.ADMIN)

    async def grant(self, credential: str) -> CredentialGrant:
        """Return what the key gives, for as long as no other one is configured."""
        return CredentialGrant(await self.caller(credential), self._reference)

    async def is_valid(self, reference: str) -> bool:
        """Tell whether this is the key."""
        return reference == self._reference

    @property
    def _reference(self) -> str:
        # A digest of the digest: what is stored is not even good for comparing keys with it.
        return f"bootstrap:{hashlib.sha256(self._digest).hexdigest()}"
