"""Verify webhook requests with the environment's keys; needs `cryptography` and nothing else.

One object serves all requests and threads. If there are no keys and none can be read, it raises
`ConnectionError`: respond with 503 then, and the request is repeated.
"""

import base64
import hmac
import json
import re
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = 300  # seconds that a timestamp may be from this clock, either way
KEYS_MAX_AGE = 300  # seconds after which the keys are read again
KEYS_MIN_AGE = 10  # seconds in which they are not, whatever key a request names


class Rejected(Exception):
    """The request is not genuine, or too old: respond with 401."""


class WebhookVerifier:
    """Verifies requests by the key set at `keys_url` and by signing secrets (`whsec_…`)."""

    def __init__(self, keys_url: str | None, secrets: Sequence[str] = ()) -> None:
        if not keys_url and not secrets:
            raise ValueError("Give the URL of the key set (KEYS_URL), or signing secrets.")
        self._keys = KeySet(keys_url) if keys_url else None
        self._secrets = [base64.b64decode(each.removeprefix("whsec_")) for each in secrets]

    def verify(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return the event of a genuine request; raise `Rejected` for any other.

        `body` is the raw one. One valid signature is enough, of whichever scheme.
        """
        fields = {name.lower(): value for name, value in headers.items()}
        if not (self._verify_own(body, fields) or self._verify_standard(body, fields)):
            raise Rejected("The signature is invalid, or older than five minutes.")
        event: dict[str, Any] = json.loads(body)
        return event

    def _verify_own(self, body: bytes, fields: Mapping[str, str]) -> bool:
        """Verify hex of Ed25519 over the timestamp and the body."""
        timestamp = fields.get("x-3dverse-signature-timestamp", "")
        try:
            signature = bytes.fromhex(fields.get("x-3dverse-signature", ""))
        except ValueError:
            return False
        signed = timestamp.encode() + body
        return is_fresh(timestamp) and self._is_by_a_key(signature, signed, fields)

    def _verify_standard(self, body: bytes, fields: Mapping[str, str]) -> bool:
        """Verify Standard Webhooks: `v1a` is Ed25519, `v1` is HMAC-SHA256."""
        message_id, timestamp = fields.get("webhook-id", ""), fields.get("webhook-timestamp", "")
        # With a dot in the id, another part of the signed bytes could pass for the timestamp.
        if not re.fullmatch(r"[\w-]+", message_id, re.ASCII) or not is_fresh(timestamp):
            return False
        signed = f"{message_id}.{timestamp}.".encode() + body
        for entry in fields.get("webhook-signature", "").split(" ")[:5]:
            version, _, text = entry.partition(",")
            try:
                signature = base64.b64decode(text, validate=True)
            except ValueError:
                continue
            if version == "v1a" and self._is_by_a_key(signature, signed, fields):
                return True
            if version == "v1" and self._is_by_a_secret(signature, signed):
                return True
        return False

    def _is_by_a_key(self, signature: bytes, signed: bytes, fields: Mapping[str, str]) -> bool:
        if self._keys is None:
            return False
        for key in self._keys.trusted(fields.get("x-3dverse-signature-key-id", "")):
            try:
                key.verify(signature, signed)
            except InvalidSignature:
                continue
            return True
        return False

    def _is_by_a_secret(self, signature: bytes, signed: bytes) -> bool:
        # compare_digest: its duration does not depend on how much of a forged signature is right.
        digests = [hmac.digest(secret, signed, "sha256") for secret in self._secrets]
        return any(hmac.compare_digest(digest, signature) for digest in digests)


class KeySet:
    """The environment's public keys by their ids, read again when a request names a new one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def trusted(self, key_id: str) -> Sequence[Ed25519PublicKey]:
        """Return the keys to trust now, for a request that names this one."""
        with self._lock:
            age = time.monotonic() - self._read_at
            if age > KEYS_MAX_AGE or (age > KEYS_MIN_AGE and key_id not in self._keys):
                self._read_at = time.monotonic()
                try:
                    self._keys = self._read()
                except (OSError, ValueError, LookupError, TypeError) as error:
                    # Unreachable, or not a key set: the keys that are known stay in use.
                    print(f"{self._url} cannot be read: {error}")
            if not self._keys:
                raise ConnectionError(f"There are no keys at {self._url}.")
            return list(self._keys.values())

    def _read(self) -> dict[str, Ed25519PublicKey]:
        with urllib.request.urlopen(self._url, timeout=5) as response:  # noqa: S310 - ours
            keys = json.load(response)["keys"]
        raw = {key["kid"]: base64.urlsafe_b64decode(key["x"] + "=") for key in keys}
        return {kid: Ed25519PublicKey.from_public_bytes(each) for kid, each in raw.items()}


def is_fresh(timestamp: str) -> bool:
    """Tell whether a timestamp, ten digits of unix seconds, is near enough to now."""
    if not re.fullmatch("[0-9]{10}", timestamp):
        return False
    return abs(time.time() - int(timestamp)) <= TOLERANCE
