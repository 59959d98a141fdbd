"""Verifying: what a receiver calls to know that a request came from this system, and just now.

The verifiers are strict. Each takes the body as the bytes that arrived, and one public key or
several, each as hex, base64, PEM or ``whpk_…``. They return None, or raise
:class:`InvalidSignature`, which says which check failed. :func:`verify_request` takes the request
as it came, by whichever scheme the keys are for; the others check one scheme each, and for them a
mistake of the caller's own (no key, a key that cannot be read, a ``now`` without its zone) is
another ``ValueError``.
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from cryptography.exceptions import InvalidSignature as Mismatch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from notification_core.errors import InvalidInput, InvalidSignature
from notification_core.model.public_keys import decoded_base64, parse_public_key
from notification_core.model.secret_text import SECRET_PREFIX, parse_signing_secret

SIGNATURE_HEADER = "X-3dverse-Signature"
"""The header of our own scheme's signature, unless the installation has another name for it."""

TIMESTAMP_HEADER = "X-3dverse-Signature-Timestamp"
"""The header of our own scheme's time, unless the installation has another name for it."""

TOLERANCE = timedelta(seconds=300)
"""How old a signature may be, and how far ahead of the receiver's clock."""

MAX_SIGNATURES = 16
"""More entries of one version than this are not looked at: each costs a verification a key."""

PublicKeys = str | bytes | Sequence[str | bytes]
"""One public key or several, each as hex, base64, PEM or ``whpk_…``."""

Keys = str | bytes | Iterable[str | bytes]
"""One key or several: public ones as in :data:`PublicKeys`, symmetric ones as ``whsec_…``."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]
"""The headers of a request as a framework gives them: a mapping, or pairs of text or bytes."""

_TIMESTAMP = re.compile(r"[0-9]{10}")
_HEX_SIGNATURE = re.compile(r"[0-9a-f]{128}")
# A dot in the id would let the signed content be cut in more than one way.
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SIGNATURE_LENGTH = 64


def verify_request(  # noqa: PLR0913 - a request, what to trust, and what an installation may change
    body: bytes,
    headers: Headers,
    keys: Keys,
    *,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
    signature_header: str = SIGNATURE_HEADER,
    timestamp_header: str = TIMESTAMP_HEADER,
) -> None:
    """Verify a request by every scheme that the keys are for; one signature that holds is enough.

    Public keys verify our own scheme and ``v1a`` of Standard Webhooks, ``whsec_…`` its ``v1``.
    ``headers`` are all headers of the request, in any case. Raises :class:`InvalidSignature` and
    nothing else, whatever the request holds; also for a key that cannot be read.
    """
    try:
        public_keys, secrets = _sorted_by_kind(keys)
        _check_aware(now)
    except ValueError as error:
        raise InvalidSignature(str(error)) from error
    fields = _fields(headers)
    problems = []
    if public_keys and signature_header.lower() in fields:
        try:
            signature = _header(fields, signature_header)
            timestamp = _fresh(_header(fields, timestamp_header), now, tolerance)
            return _verify_own(public_keys, signature, timestamp, body)
        except InvalidSignature as error:
            problems.append(str(error))
    if "webhook-signature" in fields:
        try:
            content = _standard_content(fields, body, now, tolerance)
            entries = _header(fields, "webhook-signature")
            return _verify_entries(public_keys, secrets, entries, content)
        except InvalidSignature as error:
            problems.append(str(error))
    missing = f"There is no signature: {signature_header} or webhook-signature must be given."
    raise InvalidSignature(" ".join(dict.fromkeys(problems)) or missing)


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
    _verify_own(keys, signature, _fresh(timestamp, now, tolerance), body)


def _verify_own(
    keys: Iterable[Ed25519PublicKey], signature: str | None, timestamp: str, body: bytes
) -> None:
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
    """Verify Standard Webhooks: ``v1a`` is Ed25519 over ``id.timestamp.body``, ``v1`` HMAC-SHA256.

    ``headers`` are all headers of the request, in any case. One entry that matches is enough, a
    ``v1a`` of a public key, or a ``v1`` of a ``whsec_…`` among the keys; others are skipped.
    """
    keys, secrets = _sorted_by_kind(public_keys)
    _check_aware(now)
    fields = _fields(headers)
    content = _standard_content(fields, body, now, tolerance)
    if secrets:
        return _verify_entries(keys, secrets, _header(fields, "webhook-signature"), content)
    entries = _entries(_header(fields, "webhook-signature"), "v1a")
    if not entries:
        raise InvalidSignature("The webhook-signature has no v1a signature.")
    return _verify(keys, [_standard_signature(entry) for entry in entries], content)


def _verify_entries(
    public_keys: Sequence[Ed25519PublicKey], secrets: Sequence[bytes], header: str, content: bytes
) -> None:
    """Verify Standard Webhooks by the entries that the keys are for; a malformed one fits none."""
    asymmetric = _entries(header, "v1a") if public_keys else ()
    symmetric = _entries(header, "v1") if secrets else ()
    if not asymmetric and not symmetric:
        versions = [name for name, given in (("v1a", public_keys), ("v1", secrets)) if given]
        problem = f"The webhook-signature has no {' and no '.join(versions)} signature."
        raise InvalidSignature(problem)
    digests = [hmac.digest(secret, content, "sha256") for secret in secrets]
    for entry in symmetric:
        signature = _decoded(entry)
        if any(hmac.compare_digest(digest, signature) for digest in digests):
            return
    signatures = [_decoded(entry) for entry in asymmetric]
    _verify(public_keys, signatures, content)


def _standard_content(
    fields: Mapping[str, Sequence[str]], body: bytes, now: datetime, tolerance: timedelta
) -> bytes:
    """Return what Standard Webhooks signs, once id and time are found to be well formed."""
    message_id = _header(fields, "webhook-id")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise InvalidSignature("The webhook-id is not 1 to 128 letters, digits, '_' and '-'.")
    timestamp = _fresh(_header(fields, "webhook-timestamp"), now, tolerance)
    return f"{message_id}.{timestamp}.".encode() + body


def _sorted_by_kind(keys: Keys) -> tuple[Sequence[Ed25519PublicKey], Sequence[bytes]]:
    """Return the public keys and the symmetric secrets; raise :class:`InvalidInput`."""
    given = [keys] if isinstance(keys, str | bytes) else list(keys)
    texts = [key.decode("latin-1") if isinstance(key, bytes) else key for key in given]
    secrets = [text.strip() for text in texts if text.strip().startswith(SECRET_PREFIX)]
    public_keys = [text for text in texts if text.strip() not in secrets]
    if secrets and not public_keys:
        return (), [*map(parse_signing_secret, secrets)]
    return _loaded(public_keys), [*map(parse_signing_secret, secrets)]


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


def _fields(headers: Headers) -> Mapping[str, Sequence[str]]:
    """Return the values of each header, by its name in lower case."""
    # Not every framework's headers are a Mapping: those of the standard library are not.
    items = getattr(headers, "items", None)
    pairs = cast("Iterable[tuple[object, object]]", headers if items is None else items())
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(_text(name).lower(), []).append(_text(value))
    return fields


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _header(fields: Mapping[str, Sequence[str]], name: str) -> str:
    values = fields.get(name.lower(), ())
    if not values:
        raise InvalidSignature(f"The header {name} is missing.")
    if len(values) > 1:
        raise InvalidSignature(f"The header {name} is there more than once.")
    return values[0]


def _entries(header: str, version: str) -> Sequence[str]:
    """Return the entries of a version, without it; raise :class:`InvalidSignature` if too many."""
    parts = [entry.partition(",") for entry in header.split(" ")]
    entries = [text for name, comma, text in parts if comma and name == version]
    if len(entries) > MAX_SIGNATURES:
        raise InvalidSignature(f"There are more than {MAX_SIGNATURES} {version} signatures.")
    return entries


def _decoded(text: str) -> bytes:
    """Return the bytes of an entry; none, which no key has signed with, if it is malformed."""
    try:
        return decoded_base64(text)
    except ValueError:
        return b""


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
            "No signature matches the body and the timestamp under the given keys."
        )


def _matches(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except Mismatch:
        return False
    return True
