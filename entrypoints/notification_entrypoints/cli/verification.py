"""Verifying requests: what arrives, by the keys that the API publishes, and what was captured.

Of a captured one, each signature is checked, and what may be behind a check that fails is said.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from attrs import define, field, frozen
from multidict import CIMultiDictProxy

from notification_core import InvalidSignature, verify_signature, verify_standard_webhook
from notification_core.errors import NotificationError
from notification_core.model.public_keys import parse_public_key
from notification_core.model.signing_key import thumbprint
from notification_core.ports.clock import Clock
from notification_core.signing.signatures import SignatureForm
from notification_core.signing.verification import TOLERANCE
from notification_entrypoints.cli.client import ApiClient

_BETWEEN_FETCHES = timedelta(seconds=2)
_MAX_ENVIRONMENTS = 100
_STANDARD = "webhook-signature"
_ANY_AGE = timedelta(days=100_000)
_SECONDS = re.compile(r"[0-9]{10}")

Headers = CIMultiDictProxy[str]
_Verify = Callable[[bytes, timedelta], None]


class PublishedKey(msgspec.Struct):
    """One key that the environment's receivers are to trust."""

    id: str
    hex: str
    signature: SignatureForm


class PublishedKeys(msgspec.Struct):
    """The settings of an environment, as far as they matter here."""

    public_verification_key: PublishedKey
    verification_keys: list[PublishedKey]

    @property
    def form(self) -> SignatureForm:
        """How requests are signed now."""
        return self.public_verification_key.signature


class Envelope(msgspec.Struct):
    """What an event's body says about itself."""

    id: str
    type: str
    environment_id: UUID


@frozen
class VerificationResult:
    """What a request turned out to be; ``problem`` says why it is not to be trusted, if so."""

    envelope: Envelope | None = None
    problem: str | None = None


@define
class _CachedKeys:
    keys: PublishedKeys
    fetched_at: float


_KEYS = msgspec.json.Decoder(PublishedKeys)
_ENVELOPE = msgspec.json.Decoder(Envelope)


@define
class Verifier:
    """Verifies requests by every scheme that the environment's are signed by.

    With ``environment_id``, it takes those of that environment alone.
    Keys are fetched once an environment, and again when a request names one that is not known,
    but not more often than every two seconds.
    """

    client: ApiClient
    clock: Clock
    environment_id: UUID | None = None
    _cached: dict[UUID, _CachedKeys] = field(factory=dict, init=False)

    async def verify(self, headers: Headers, body: bytes) -> VerificationResult:
        """Return what a request turns out to be."""
        envelope = envelope_of(body)
        if envelope is None:
            return VerificationResult(problem="the body is not an event of this system")
        if self.environment_id not in {None, envelope.environment_id}:
            return VerificationResult(envelope, f"it is of environment {envelope.environment_id}")
        try:
            keys = await self._keys(envelope.environment_id, headers)
            hexes = [key.hex for key in keys.verification_keys]
            form, now = keys.form, self.clock.now()
            signature, at = single(headers, form.header), single(headers, form.timestamp_header)
            verify_signature(body, signature, at, hexes, now=now)
            if form.standard_webhooks:
                verify_standard_webhook(body, headers, hexes, now=now)
        except NotificationError as error:
            return VerificationResult(envelope, str(error))
        return VerificationResult(envelope)

    async def _keys(self, environment_id: UUID, headers: Headers) -> PublishedKeys:
        if cached := self._cached.get(environment_id):
            ids = {key.id for key in cached.keys.verification_keys}
            age = self.clock.monotonic() - cached.fetched_at
            is_young = age < _BETWEEN_FETCHES.total_seconds()
            if is_young or headers.get(cached.keys.form.key_id_header) in ids:
                return cached.keys
        keys = await published_keys(self.client, environment_id)
        if len(self._cached) >= _MAX_ENVIRONMENTS:
            self._cached.clear()
        self._cached[environment_id] = _CachedKeys(keys, self.clock.monotonic())
        return keys


async def published_keys(client: ApiClient, environment_id: UUID) -> PublishedKeys:
    """Return the keys that the API publishes of an environment."""
    return _KEYS.decode(await client.request("GET", f"/environments/{environment_id}/settings"))


def envelope_of(body: bytes) -> Envelope | None:
    """Return what an event's body says about itself; None for what is not an event."""
    try:
        return _ENVELOPE.decode(body)
    except (ValueError, RecursionError):
        return None


def single(headers: Headers, name: str) -> str | None:
    """Return the value of a header; raise :class:`InvalidSignature` if there are several."""
    values = headers.getall(name, [])
    if len(values) > 1:
        raise InvalidSignature(f"The header {name} is there more than once.")
    return values[0] if values else None


@frozen
class Captured:
    """The headers and the body of a request."""

    headers: CIMultiDictProxy[str]
    body: bytes


@frozen
class Trust:
    """The keys and secrets to trust, and where the signatures of our own scheme stand.

    With secrets alone, only ``v1`` of Standard Webhooks is checked. ``standard`` tells whether
    there must be a signature of the other scheme as well; None where nobody knows.
    """

    keys: Sequence[str]
    form: SignatureForm
    standard: bool | None
    secrets: Sequence[str] = field(default=(), repr=False)


@frozen
class Check:
    """One signature: whether it is valid, else why not, and what may be behind it."""

    signature: str
    problem: str | None
    hint: str | None = None


def checks(
    captured: Captured, trust: Trust, now: datetime, *, any_age: bool = False
) -> Sequence[Check]:
    """Check every signature that the request has, or should have."""
    results: list[Check] = []
    for name, verify in _schemes(captured, trust, now):
        try:
            verify(captured.body, _ANY_AGE if any_age else TOLERANCE)
            results.append(Check(name, None))
        except InvalidSignature as error:
            results.append(Check(name, str(error), _hint(captured, trust, verify)))
    return results


def signed_at(captured: Captured, trust: Trust) -> datetime | None:
    """Return when the request says that it was signed."""
    for name in (trust.form.timestamp_header, "webhook-timestamp"):
        text = captured.headers.get(name, "")
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
    return None


def _schemes(captured: Captured, trust: Trust, now: datetime) -> Iterator[tuple[str, _Verify]]:
    headers, form = captured.headers, trust.form

    def ours(body: bytes, tolerance: timedelta) -> None:
        signature, at = single(headers, form.header), single(headers, form.timestamp_header)
        verify_signature(body, signature, at, trust.keys, now=now, tolerance=tolerance)

    def standard(body: bytes, tolerance: timedelta) -> None:
        verify_standard_webhook(body, headers, trust.keys, now=now, tolerance=tolerance)

    def symmetric(body: bytes, tolerance: timedelta) -> None:
        verify_standard_webhook(body, headers, trust.secrets, now=now, tolerance=tolerance)

    if trust.secrets:
        yield f"{_STANDARD} (v1)", symmetric
    if not trust.keys:
        return
    has_standard = _STANDARD in headers
    if form.header in headers or trust.standard is not None or not has_standard:
        yield form.header, ours
    if has_standard or trust.standard:
        yield _STANDARD, standard


def _hint(captured: Captured, trust: Trust, verify: _Verify) -> str | None:
    """Return what may be behind a signature that does not hold: what would make it hold."""
    if _holds(verify, captured.body):
        return "All else is valid: for an old capture give --any-age, else look at the clocks."
    for body, hint in _bodies(captured.body):
        if body != captured.body and _holds(verify, body):
            return hint
    named = captured.headers.get(trust.form.key_id_header)
    trusted = {thumbprint(parse_public_key(key)) for key in trust.keys}
    if trust.keys and named is not None and named not in trusted:
        return f"The request names the key {named[:100]}, which is none of those to trust here."
    return None


def _holds(verify: _Verify, body: bytes) -> bool:
    try:
        verify(body, _ANY_AGE)
    except InvalidSignature:
        return False
    return True


def _bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield what the body may have been before something changed it."""
    yield (
        body.rstrip(b"\r\n"),
        "It is valid without the line break at the end of the body: that was not sent.",
    )
    yield (
        body.replace(b"\r\n", b"\n"),
        "It is valid with the line breaks that were sent: something has written others.",
    )
    try:
        compact = json.dumps(json.loads(body), separators=(",", ":"))
    except (ValueError, RecursionError):
        return
    yield (
        compact.encode(),
        "It is valid for the same JSON without blanks: verify the bytes that came, before parsing.",
    )
