"""Encryption at rest: AES-256-GCM under keys that come from the installation's secret.

The text is ``v1.<kid>.<base64url(nonce + ciphertext + tag)>``. What is bound to it, and so must be
named again to decrypt, is its place: table, column, environment and row.
"""

import base64
import os
import re
from collections.abc import Iterable, Sequence

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from notification_core.errors import UndecipherableText

SECRET_LENGTH = 32
"""How many characters a secret has."""

_VERSION = "v1"
_SALT = b"webhooks-db-encryption"
_NONCE_LENGTH = 12
_SEPARATOR = "\x1f"
_TEXT = re.compile(r"v1\.(?P<kid>[0-9a-f]{8})\.(?P<sealed>[A-Za-z0-9_-]+)")


@frozen
class _Key:
    kid: str
    aead: AESGCM = field(repr=False)


class Cipher:
    """Encrypts under a secret; decrypts under it and under those that came before it."""

    def __init__(self, secret: str, previous: Iterable[str] = ()) -> None:
        self._current, *earlier = map(_derived, (secret, *previous))
        self._by_kid = {key.kid: key for key in (*earlier, self._current)}

    def __repr__(self) -> str:
        return f"Cipher(kid={self.kid!r})"

    @property
    def kid(self) -> str:
        """Which secret encrypts: the second part of every text made here."""
        return self._current.kid

    @property
    def prefix(self) -> str:
        """What every text made here begins with, and no other."""
        return f"{_VERSION}.{self.kid}."

    def is_current(self, text: str) -> bool:
        """Tell whether a text was encrypted under the present secret."""
        return text.startswith(self.prefix)

    def encrypt(self, plaintext: bytes, aad: Sequence[str], nonce: bytes | None = None) -> str:
        """Return the text that stands for ``plaintext`` at the place that ``aad`` names.

        ``aad`` is table, column, environment and row. ``nonce`` is 12 bytes that are never used
        twice; without it they are drawn at random, as they should be outside of tests.
        """
        nonce = os.urandom(_NONCE_LENGTH) if nonce is None else nonce
        if len(nonce) != _NONCE_LENGTH:
            raise ValueError(f"A nonce has {_NONCE_LENGTH} bytes.")
        sealed = nonce + self._current.aead.encrypt(nonce, plaintext, _joined(aad))
        return f"{self.prefix}{_encoded(sealed)}"

    def decrypt(self, text: str, aad: Sequence[str]) -> bytes:
        """Return the bytes that were encrypted for this place.

        Raises :class:`UndecipherableText` where the text is no such text, comes from a secret
        that is not among ours, was changed, or stood in another place.
        """
        kid, sealed = _parsed(text)
        key = self._by_kid.get(kid)
        if key is None:
            raise UndecipherableText(
                f"The text was encrypted under another secret (key {kid}); name that one among "
                "the previous secrets."
            )
        try:
            return key.aead.decrypt(sealed[:_NONCE_LENGTH], sealed[_NONCE_LENGTH:], _joined(aad))
        except InvalidTag:
            raise UndecipherableText(
                "The text was changed, or was written for another place."
            ) from None


def _derived(secret: str) -> _Key:
    if len(secret) != SECRET_LENGTH:
        raise ValueError(
            f"An encryption secret has exactly {SECRET_LENGTH} characters, not {len(secret)}."
        )
    key = _hkdf(secret, b"aes-256-gcm/v1", length=32)
    return _Key(_hkdf(secret, b"key-id/v1", length=4).hex(), AESGCM(key))


def _hkdf(secret: str, info: bytes, length: int) -> bytes:
    try:
        material = secret.encode()
    except UnicodeEncodeError:
        # Python's own error carries the secret.
        raise ValueError("An encryption secret is text that UTF-8 can write.") from None
    return HKDF(SHA256(), length, _SALT, info).derive(material)


def _joined(aad: Sequence[str]) -> bytes:
    if any(_SEPARATOR in part for part in aad):
        # Two places could then be written alike.
        raise ValueError("A part of the place holds the separator 0x1f.")
    return _SEPARATOR.join((_VERSION, *aad)).encode()


def _encoded(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _parsed(text: str) -> tuple[str, bytes]:
    """Return the key's id and the sealed bytes of a text."""
    match = _TEXT.fullmatch(text)
    try:
        encoded = match["sealed"] if match else ""
        sealed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        sealed = b""
    # Of several texts that stand for the same bytes only the one that we write is taken.
    if match is None or len(sealed) <= _NONCE_LENGTH or _encoded(sealed) != match["sealed"]:
        raise UndecipherableText("This is no encrypted text (v1.<key>.<base64url>).")
    return match["kid"], sealed
