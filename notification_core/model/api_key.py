"""API keys: what opens the API, of which only a digest is ever stored.

A key is ``whk_`` and its id, which finds its row, then ``_`` and its secret: 256 random bits. So
its plain SHA-256 gives nothing away, and nobody needs to slow guessing down.
"""

import hashlib
import hmac
import re
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import field, frozen

from notification_core.model.caller import Caller, Scope

PREFIX = "whk_"
"""What every key begins with, so that people and scanners know one when they see it."""

SECRET_BYTES = 32
MAX_ENVIRONMENTS = 100
MAX_NAME_LENGTH = 256

_KEY = re.compile(r"whk_([0-9a-f]{32})_[0-9A-Za-z]{43}")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 43


class KeyState(StrEnum):
    """Whether a key opens anything."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@frozen
class ApiKey:
    """A key as it is kept; ``environments`` is None for all of them."""

    key_id: UUID
    name: str
    scope: Scope
    environments: frozenset[UUID] | None
    digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> KeyState:
        """Tell whether the key opens anything at this moment."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        return KeyState.ACTIVE

    @property
    def caller(self) -> Caller:
        """The caller that uses it."""
        return Caller(f"key:{self.key_id}", self.scope, self.environments)


def format_api_key(key_id: UUID, secret: bytes) -> str:
    """Return a key as it is handed out: letters, digits and ``_``, to be picked by a click."""
    number = int.from_bytes(secret)
    digits = ""
    for _ in range(_SECRET_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return f"{PREFIX}{key_id.hex}_{digits}"


def api_key_id_in(text: str) -> str | None:
    """Return the id in a key as it is written there, None for what is no key."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def hash_api_key(text: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(text.encode()).digest()


def matches_hash(text: str, digest: bytes) -> bool:
    """Tell, in a time that says nothing, whether this is the key that the digest was made of."""
    return hmac.compare_digest(hash_api_key(text), digest)
