"""Verifying what arrives, with the keys that the API publishes for the event's environment."""

from datetime import timedelta
from uuid import UUID

import msgspec
from attrs import define, field, frozen
from multidict import CIMultiDictProxy

from notification_core import InvalidSignature, verify_signature, verify_standard_webhook
from notification_core.errors import NotificationError
from notification_core.ports.clock import Clock
from notification_entrypoints.cli.client import ApiClient

_BETWEEN_FETCHES = timedelta(seconds=2)
_MAX_ENVIRONMENTS = 100

Headers = CIMultiDictProxy[str]


class SignatureForm(msgspec.Struct):
    """In which headers the signature of our own scheme stands, and whether there is another."""

    header: str
    timestamp_header: str
    key_id_header: str
    standard_webhooks: bool = True


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
class Verdict:
    """What a request turned out to be; ``problem`` says why it is not to be trusted, if so."""

    envelope: Envelope | None = None
    problem: str | None = None


@define
class _Known:
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
    _known: dict[UUID, _Known] = field(factory=dict, init=False)

    async def judge(self, headers: Headers, body: bytes) -> Verdict:
        """Judge a request."""
        envelope = envelope_of(body)
        if envelope is None:
            return Verdict(problem="the body is no event of this system")
        if self.environment_id not in {None, envelope.environment_id}:
            return Verdict(envelope, f"it is of environment {envelope.environment_id}")
        try:
            await self._verify(envelope.environment_id, headers, body)
        except NotificationError as error:
            return Verdict(envelope, str(error))
        return Verdict(envelope)

    async def _verify(self, environment_id: UUID, headers: Headers, body: bytes) -> None:
        keys = await self._keys(environment_id, headers)
        hexes = [key.hex for key in keys.verification_keys]
        form, now = keys.form, self.clock.now()
        signature, timestamp = (
            single(headers, form.header),
            single(headers, form.timestamp_header),
        )
        verify_signature(body, signature, timestamp, hexes, now=now)
        if form.standard_webhooks:
            verify_standard_webhook(body, headers, hexes, now=now)

    async def _keys(self, environment_id: UUID, headers: Headers) -> PublishedKeys:
        known = self._known.get(environment_id)
        if known and (_is_known(known.keys, headers) or self._fetched_just_now(known)):
            return known.keys
        keys = await published_keys(self.client, environment_id)
        if len(self._known) >= _MAX_ENVIRONMENTS:
            self._known.clear()
        self._known[environment_id] = _Known(keys, self.clock.monotonic())
        return keys

    def _fetched_just_now(self, known: _Known) -> bool:
        age = self.clock.monotonic() - known.fetched_at
        return age < _BETWEEN_FETCHES.total_seconds()


async def published_keys(client: ApiClient, environment_id: UUID) -> PublishedKeys:
    """Return the keys that the API publishes of an environment."""
    return _KEYS.decode(await client.request("GET", f"/environments/{environment_id}/settings"))


def envelope_of(body: bytes) -> Envelope | None:
    """Return what an event's body says about itself; None for what is no event."""
    try:
        return _ENVELOPE.decode(body)
    except (ValueError, RecursionError):
        return None


def _is_known(keys: PublishedKeys, headers: Headers) -> bool:
    return headers.get(keys.form.key_id_header) in {key.id for key in keys.verification_keys}


def single(headers: Headers, name: str) -> str | None:
    """Return the value of a header; raise :class:`InvalidSignature` where there are several."""
    values = headers.getall(name, [])
    if len(values) > 1:
        raise InvalidSignature(f"The header {name} is there more than once.")
    return values[0] if values else None
