"""Making Ed25519 signatures, which is the largest part of what a delivery costs."""

from abc import abstractmethod
from typing import Protocol

from notification_core.model.signing_key import SigningKey


class Signer(Protocol):
    """Signs with an environment's key. Done in the caller's thread: it is over in microseconds."""

    @abstractmethod
    def sign(self, key: SigningKey, content: bytes) -> bytes:
        """Return the 64 bytes of the Ed25519 signature (RFC 8032, section 5.1.6).

        They follow from key and content alone: all signers give the same ones.
        """
