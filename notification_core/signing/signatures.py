"""Signatures: the headers that prove to a receiver who sent a request, and when.

Two schemes over the same Ed25519 keys: ours, which verifiers of Discord's scheme take unchanged,
and Standard Webhooks (https://www.standardwebhooks.com), which has a symmetric scheme too, for
webhooks that have secrets. The time is unix seconds, ten digits.
"""

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Sequence
from uuid import UUID

from attrs import field, frozen

from notification_core.model.delivery import ClaimedDelivery
from notification_core.model.signing_key import SigningKey, base64url
from notification_core.model.signing_secret import SigningSecret
from notification_core.ports.signer import Signer
from notification_core.signing.verification import TOLERANCE

_MOST_CACHED = 4096
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


@frozen
class SignatureForm:
    """How requests are signed, as it is published: what a receiver must know to verify one."""

    header: str
    timestamp_header: str
    key_id_header: str
    standard_webhooks: bool = True
    encoding: str = "hex"
    signed_content: str = "timestamp + body"
    timestamp_unit: str = "seconds"
    tolerance_seconds: int = int(TOLERANCE.total_seconds())


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

    Our own scheme is signed by the first of the keys alone: lower-case hex over
    ``ascii(timestamp) + body``. Standard Webhooks' is signed by each of them, in their order: one
    ``v1a,…`` for each key, over ``id.timestamp.body``.
    """
    active = keys[0]
    # Ten digits, whatever the clock says: receivers take nothing else.
    digits = f"{timestamp:010d}"
    signed = (
        (headers.signature, signer.sign(active, digits.encode() + body).hex()),
        (headers.timestamp, digits),
        (headers.key_id, active.key_id),
        ("webhook-id", message_id),
        ("webhook-timestamp", digits),
    )
    if not headers.standard:
        return signed
    content = f"{message_id}.{digits}.".encode() + body
    entries = []
    for key in keys:
        signature = signer.sign(key, content)
        entries.append(f"v1a,{b2a_base64(signature, newline=False).decode()}")
    return (*signed, ("webhook-signature", " ".join(entries)))


def add_symmetric_signatures(
    signed: tuple[tuple[str, str], ...], secrets: Sequence[SigningSecret], body: bytes
) -> tuple[tuple[str, str], ...]:
    """Return the signature headers of an attempt with a ``v1`` entry for each secret.

    They come after those of Standard Webhooks' asymmetric scheme, if it is made: HMAC-SHA256 over
    the same ``id.timestamp.body``.
    """
    fields = dict(signed)
    content = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + body
    entries = [fields["webhook-signature"]] if "webhook-signature" in fields else []
    for secret in secrets:
        digest = hmac.digest(secret.secret, content, "sha256")
        entries.append(f"v1,{b2a_base64(digest, newline=False).decode()}")
    return (*(fields | {"webhook-signature": " ".join(entries)}).items(),) if entries else signed


class SignatureCache:
    """Signs events for the attempts of one second after the other, each event once a second.

    A signature says nothing of the webhook, so that all deliveries of an event that begin within
    the same second share theirs, however many webhooks it goes to.
    """

    def __init__(self, headers: SignatureHeaders, signer: Signer) -> None:
        self._headers = headers
        self._signer = signer
        self._second = 0
        self._signed: dict[
            tuple[object, str], tuple[Sequence[SigningKey], tuple[tuple[str, str], ...]]
        ] = {}

    def __len__(self) -> int:
        """How many events' signatures are cached."""
        return len(self._signed)

    def headers_for(
        self, delivery: ClaimedDelivery, keys: Sequence[SigningKey], second: int
    ) -> tuple[tuple[str, str], ...]:
        """Return the signature headers of a delivery's event at a unix second."""
        if second != self._second or len(self._signed) >= _MOST_CACHED:
            self._second, self._signed = second, {}
        event = delivery.fence.environment_id, delivery.event_id
        signed_by, headers = self._signed.get(event, (None, ()))
        # The very same keys: those of an environment are replaced when they are read again.
        if signed_by is not keys:
            name = message_id(delivery.fence.environment_id, delivery.event_id)
            headers = sign(self._headers, keys, name, second, delivery.body, self._signer)
            self._signed[event] = keys, headers
        return headers
