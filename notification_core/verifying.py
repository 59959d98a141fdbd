"""Verifying: what a receiver calls to know that a request came from this system, and just now.

The verifiers are strict. Each takes the body as the bytes that arrived, and one public key or
several, each as hex, base64, PEM or ``whpk_…``. They return None, or raise
:class:`InvalidSignature`, which says which check failed. A mistake of the caller's own (no key,
a key that cannot be read, a ``now`` without its zone) is another ``ValueError``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature as Mismatch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from notification_core.errors import InvalidInput, InvalidSignature
from notification_core.public_keys import decoded_base64, parse_public_key

TOLERANCE = timedelta(seconds=300)
"""How old a signature may be, and how far ahead of the receiver's clock."""

MAX_SIGNATURES = 16
"""More ``v1a`` entries than this are not looked at: each costs a verification a key."""

PublicKeys = str | bytes | Sequence[str | bytes]
"""One public key or several, each as hex, base64, PEM or ``whpk_…``."""

_TIMESTAMP = re.compile(r"[0-9]{10}")
_HEX_SIGNATURE = re.compile(r"[0-9a-f]{128}")
# A dot in the id would let the signed content be cut in more than one way.
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SIGNATURE_LENGTH = 64


def verify_signature(  # noqa: PLR0913 - the first three are what a request brings, as in the published verifiers
    body: bytes,
    signature: str | None,
    timestamp: str | None,
    public_keys: PublicKeys,
    *,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> None:
    """Verify our own scheme: lower-case hex of Ed25519 over ``timestamp + body``.

    ``signature`` and ``timestamp`` are the values of the two headers, None where one is missing.
    """
    keys = _loaded(public_keys)
    _check_aware(now)
    timestamp = _fresh(timestamp, now, tolerance)
    if not signature:
        raise InvalidSignature("The signature is missing.")
    if not _HEX_SIGNATURE.fullmatch(signature):
        raise InvalidSignature("The signature is not 128 lower-case hex digits.")
    _verify(keys, [bytes.fromhex(signature)], timestamp.encode() + body)


def verify_standard_webhook(
    body: bytes,
    headers: Mapping[str, str],
    public_keys: PublicKeys,
    *,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> None:
    """Verify Standard Webhooks' asymmetric scheme (``v1a``): Ed25519 over ``id.timestamp.body``.

    ``headers`` are all headers of the request, in any case. One matching ``v1a`` is enough; other
    versions are passed over.
    """
    keys = _loaded(public_keys)
    _check_aware(now)
    message_id = _header(headers, "webhook-id")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise InvalidSignature("The webhook-id is not 1 to 128 letters, digits, '_' and '-'.")
    timestamp = _fresh(_header(headers, "webhook-timestamp"), now, tolerance)
    signatures = _standard_signatures(_header(headers, "webhook-signature"))
    _verify(keys, signatures, f"{message_id}.{timestamp}.".encode() + body)


def _loaded(public_keys: PublicKeys) -> Sequence[Ed25519PublicKey]:
    texts = [public_keys] if isinstance(public_keys, str | bytes) else public_keys
    if not texts:
        raise InvalidInput("There is no public key to verify with; give at least one.")
    return [Ed25519PublicKey.from_public_bytes(parse_public_key(text)) for text in texts]


def _check_aware(now: datetime) -> None:
    if now.utcoffset() is None:
        raise ValueError("now must be an aware datetime, such as datetime.now(UTC).")


def _fresh(timestamp: str | None, now: datetime, tolerance: timedelta) -> str:
    """Return the timestamp where it is well formed and near enough to now."""
    if not timestamp:
        raise InvalidSignature("The timestamp is missing.")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise InvalidSignature("The timestamp is not ten digits of unix seconds.")
    age = now - datetime.fromtimestamp(int(timestamp), UTC)
    if age > tolerance:
        raise InvalidSignature(f"The timestamp is older than {_seconds(tolerance)} seconds.")
    if -age > tolerance:
        raise InvalidSignature(
            f"The timestamp is more than {_seconds(tolerance)} seconds in the future."
        )
    return timestamp


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}"


def _header(headers: Mapping[str, str], name: str) -> str:
    values = [value for key, value in headers.items() if key.lower() == name]
    if not values:
        raise InvalidSignature(f"The header {name} is missing.")
    if len(values) > 1:
        raise InvalidSignature(f"The header {name} is there more than once.")
    return values[0]


def _standard_signatures(header: str) -> Sequence[bytes]:
    entries = [
        entry.removeprefix("v1a,") for entry in header.split(" ") if entry.startswith("v1a,")
    ]
    if not entries:
        raise InvalidSignature("The webhook-signature holds no v1a signature.")
    if len(entries) > MAX_SIGNATURES:
        raise InvalidSignature(f"There are more than {MAX_SIGNATURES} v1a signatures.")
    return [_standard_signature(entry) for entry in entries]


def _standard_signature(text: str) -> bytes:
    try:
        signature = decoded_base64(text)
    except ValueError:
        raise InvalidSignature("A v1a signature is not base64.") from None
    if len(signature) != _SIGNATURE_LENGTH:
        raise InvalidSignature(f"A v1a signature has not {_SIGNATURE_LENGTH} bytes.")
    return signature


def _verify(keys: Iterable[Ed25519PublicKey], signatures: Sequence[bytes], content: bytes) -> None:
    if not any(_matches(key, signature, content) for key in keys for signature in signatures):
        raise InvalidSignature(
            "No signature matches the body and the timestamp under the given public keys."
        )


def _matches(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except Mismatch:
        return False
    return True
