"""What a receiver makes of a request: checked by verifiers that others have published."""

import binascii
from base64 import b64decode
from collections.abc import Iterable, Iterator
from hashlib import sha256

from discord_interactions import verify_key  # type: ignore[import-untyped] # has no types
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tests.faults.history import Seen
from tests.support.receivers import ReceivedRequest


def as_seen(request: ReceivedRequest, public_key: str, answered: int | None) -> Seen:
    """Return the receiver's account of a request, with both signatures checked."""
    headers = request.headers
    return Seen(
        delivery_id=headers["webhook-delivery"],
        attempt=int(headers["webhook-attempt"]),
        message_id=headers["webhook-id"],
        timestamp=int(headers["webhook-timestamp"]),
        body_sha256=sha256(request.body).hexdigest(),
        verified=verifies(request, public_key),
        received_at=request.received_at,
        answered=answered,
    )


def verifies(request: ReceivedRequest, public_key: str) -> bool:
    """Tell whether a request verifies in both schemes with the environment's key, in hex."""
    return _verifies_as_discords(request, public_key) and _verifies_as_standard(request, public_key)


def _verifies_as_discords(request: ReceivedRequest, public_key: str) -> bool:
    signature = request.headers["X-3dverse-Signature"]
    timestamp = request.headers["X-3dverse-Signature-Timestamp"]
    return bool(verify_key(request.body, signature, timestamp, public_key))


def _verifies_as_standard(request: ReceivedRequest, public_key: str) -> bool:
    headers = request.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    key = VerifyKey(bytes.fromhex(public_key))
    return any(_is_signature(key, signed, one) for one in _signatures(headers["webhook-signature"]))


def _signatures(header: str) -> Iterator[bytes]:
    for entry in header.split():
        version, _, signature = entry.partition(",")
        if version == "v1a":
            yield b64decode(signature, validate=True)


def _is_signature(key: VerifyKey, signed: bytes, signature: bytes) -> bool:
    try:
        key.verify(signed, signature)
    except (BadSignatureError, ValueError, binascii.Error):
        return False
    return True


def all_seen(requests: Iterable[tuple[ReceivedRequest, int | None]], key: str) -> list[Seen]:
    """Return the receivers' account of requests and the statuses they got."""
    return [as_seen(request, key, answered) for request, answered in requests]
