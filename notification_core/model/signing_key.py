"""Signing keys: an environment's Ed25519 key pairs, and the public half in all its forms."""

import base64
import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from notification_core.model.public_keys import PUBLIC_KEY_PREFIX

MAX_SIGNING_KEYS = 3
"""A request is signed by no more keys than this."""


class KeyStatus(StrEnum):
    """Where a key stands at a moment; all three are to be trusted by receivers.

    It is never stored: it follows from the times of the environment's keys.
    """

    PENDING = "pending"
    ACTIVE = "active"
    RETIRING = "retiring"


@frozen
class SigningKey:
    """An environment's Ed25519 key pair.

    ``key_id`` is the RFC 7638 thumbprint of the public half, ``public_key`` its 32 raw bytes and
    ``seed`` the 32 secret ones. ``private_key`` is made from the seed once, so that a signature
    costs nothing but the signing. The keys of an environment are numbered from 1 on; it signs
    from ``not_before`` on, and is trusted until ``expires_at``, which the latest one never has.
    """

    key_id: str
    environment_id: UUID
    number: int
    seed: bytes = field(repr=False)
    public_key: bytes
    created_at: datetime
    not_before: datetime
    expires_at: datetime | None = None
    private_key: Ed25519PrivateKey = field(init=False, repr=False, eq=False)

    @private_key.default
    def _from_seed(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def is_trusted(self, now: datetime) -> bool:
        """Tell whether receivers are to trust it at this moment."""
        return self.expires_at is None or now < self.expires_at


@frozen
class TrustedKey:
    """A key that receivers are to trust, and where it stands."""

    key: SigningKey
    status: KeyStatus


class Jwk(TypedDict):
    """A public key as a JSON Web Key (RFC 8037)."""

    kty: str
    crv: str
    x: str
    alg: str
    use: str
    kid: str


@frozen
class PublicForms:
    """A public key in each form that a receiver's library may ask for."""

    hex: str
    base64: str
    pem: str
    whpk: str
    jwk: Jwk


def new_signing_key(
    environment_id: UUID,
    now: datetime,
    seed: bytes,
    number: int = 1,
    not_before: datetime | None = None,
) -> SigningKey:
    """Return a key that signs from now on, or from ``not_before``; ``seed`` is 32 random bytes."""
    public_key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SigningKey(
        key_id=thumbprint(public_key),
        environment_id=environment_id,
        number=number,
        seed=seed,
        public_key=public_key,
        created_at=now,
        not_before=not_before or now,
    )


def trusted_at(keys: Collection[SigningKey], now: datetime) -> Sequence[TrustedKey]:
    """Return an environment's keys to trust at a moment: active, retiring newest first, pending.

    The newest of those that may sign is active. Where none may yet, because the clock was set
    back, it is the oldest of all.
    """
    newest_first = sorted(keys, key=lambda key: key.number, reverse=True)
    trusted = [key for key in newest_first if key.is_trusted(now)]
    signing = [key for key in trusted if key.not_before <= now] or trusted[-1:]
    pending = [TrustedKey(key, KeyStatus.PENDING) for key in trusted if key not in signing]
    active = [TrustedKey(key, KeyStatus.ACTIVE) for key in signing[:1]]
    return [*active, *(TrustedKey(key, KeyStatus.RETIRING) for key in signing[1:]), *pending]


def signing_at(keys: Collection[SigningKey], now: datetime) -> Sequence[SigningKey]:
    """Return the keys that sign at a moment: the active one, then the newest retiring ones."""
    trusted = trusted_at(keys, now)
    signing = [key.key for key in trusted if key.status is not KeyStatus.PENDING]
    return signing[:MAX_SIGNING_KEYS]


def thumbprint(public_key: bytes) -> str:
    """Return the RFC 7638 thumbprint of a raw public key: the id that receivers know it by."""
    # The members, their order and the missing blanks are fixed by the RFC.
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{base64url(public_key)}"}}'
    return base64url(hashlib.sha256(canonical.encode()).digest())


def public_forms(public_key: bytes) -> PublicForms:
    """Return all forms of a raw public key."""
    plain = base64.b64encode(public_key).decode()
    return PublicForms(
        hex=public_key.hex(),
        base64=plain,
        pem=_pem(public_key),
        whpk=PUBLIC_KEY_PREFIX + plain,
        jwk={
            "kty": "OKP",
            "crv": "Ed25519",
            "x": base64url(public_key),
            "alg": "EdDSA",
            "use": "sig",
            "kid": thumbprint(public_key),
        },
    )


def base64url(data: bytes) -> str:
    """Return base64url without padding, as JOSE writes it (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _pem(public_key: bytes) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - it brings SSH along, for nothing in most processes

    key = Ed25519PublicKey.from_public_bytes(public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
