"""Tokens of browser sessions, and one-time codes: ids that find a row, and a secret.

The secret has 256 random bits, so the plain SHA-256 of a token gives nothing away, and that is all
that is stored of it. A token is made of letters, digits, ``-`` and ``_``, so that it fits into a
URL and into a cookie as it is.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from uuid import UUID

SECRET_BYTES = 32

_ID = re.compile("[0-9a-f]{32}")
_SECRET = re.compile("[A-Za-z0-9_-]{43}")
_ID_LENGTH = 32


def format_token(ids: Sequence[UUID], secret: bytes) -> str:
    """Return the token of a row with these ids; ``secret`` are 32 random bytes."""
    found_by = "".join(each.hex for each in ids)
    return found_by + urlsafe_b64encode(secret).rstrip(b"=").decode()


def ids_in(token: str, count: int) -> Sequence[UUID] | None:
    """Return the ids in a token that has so many, None for what is not a token."""
    end = count * _ID_LENGTH
    parts = [token[start : start + _ID_LENGTH] for start in range(0, end, _ID_LENGTH)]
    if not (all(map(_ID.fullmatch, parts)) and _SECRET.fullmatch(token[end:])):
        return None
    return [UUID(part) for part in parts]


def hash_token(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


def matches_token(token: str, digest: bytes | None) -> bool:
    """Tell, in a time that does not depend on it, whether a digest is of this token."""
    return digest is not None and hmac.compare_digest(hash_token(token), digest)
