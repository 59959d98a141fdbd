"""Signing: the headers that prove to a receiver who sent a request, and when.

Two schemes over the same Ed25519 keys: ours, which verifiers of Discord's scheme take unchanged,
and Standard Webhooks (https://www.standardwebhooks.com). The time is unix seconds, ten digits.
"""

import hashlib
import re
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID

from attrs import field, frozen

from notification_core.model.signing_key import SigningKey, base64url
from notification_core.ports.signer import Signer

_SHORT_ID = re.compile(r"[A-Za-z0-9_-]{1,124}")


@frozen
class SignatureHeaders:
    """How the headers of our own scheme are called, and whether Standard Webhooks' is made too.

    Without ``standard``, ``webhook-id`` and ``webhook-timestamp`` are still sent: the first is
    what receivers drop duplicates by, and neither costs a signature.
    """

    signature: str
    timestamp: str
    standard: bool = True
    key_id: str = field(init=False)
    """The header that says which key signed."""

    @key_id.default
    def _beside_the_signature(self) -> str:
        return f"{self.signature}-Key-Id"

    @property
    def names(self) -> frozenset[str]:
        """The names in lower case: what a custom header must not be called."""
        return frozenset(name.lower() for name in (self.signature, self.timestamp, self.key_id))


class CryptographySigner(Signer):
    """Signs with the package that the core needs anyway; others may be faster."""

    def sign(self, key: SigningKey, content: bytes) -> bytes:
        """Return the Ed25519 signature."""
        return key.private_key.sign(content)


_SIGNER = CryptographySigner()


def message_id(environment_id: UUID, event_id: str) -> str:
    """Return the ``webhook-id`` of an event: the same at every attempt, and safe in a header."""
    if _SHORT_ID.fullmatch(event_id):
        return f"msg_{event_id}"
    digest = hashlib.sha256(f"{environment_id}\x1f{event_id}".encode()).digest()
    return f"msg_{base64url(digest)}"


def sign(  # noqa: PLR0913, PLR0917 - everything that is signed, and by what
    headers: SignatureHeaders,
    keys: Sequence[SigningKey],
    message_id: str,
    timestamp: int,
    body: bytes,
    signer: Signer = _SIGNER,
) -> tuple[tuple[str, str], ...]:
    """Return all signature headers of one second of an attempt.

    Our own scheme is signed by the first of the keys alone, Standard Webhooks' by each of them.
    """
    active = keys[0]
    signed = (
        (headers.signature, signature_hex(active, timestamp, body, signer)),
        (headers.timestamp, _digits(timestamp)),
        (headers.key_id, active.key_id),
        ("webhook-id", message_id),
        ("webhook-timestamp", _digits(timestamp)),
    )
    if not headers.standard:
        return signed
    standard = standard_signature(keys, message_id, timestamp, body, signer)
    return (*signed, ("webhook-signature", standard))


def signature_hex(key: SigningKey, timestamp: int, body: bytes, signer: Signer = _SIGNER) -> str:
    """Return our own scheme's signature: lower-case hex over ``ascii(timestamp) + body``."""
    return signer.sign(key, _digits(timestamp).encode() + body).hex()


def standard_signature(
    keys: Sequence[SigningKey],
    message_id: str,
    timestamp: int,
    body: bytes,
    signer: Signer = _SIGNER,
) -> str:
    """Return a ``webhook-signature``: one ``v1a,…`` for each key, in their order."""
    content = f"{message_id}.{_digits(timestamp)}.".encode() + body
    return " ".join([f"v1a,{_base64(signer.sign(key, content))}" for key in keys])


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


@lru_cache(maxsize=8)
def _digits(timestamp: int) -> str:
    """Ten digits, whatever the clock says: receivers take nothing else."""
    return f"{timestamp:010d}"
