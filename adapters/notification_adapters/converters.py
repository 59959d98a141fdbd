"""Between values and JSON: the one place that knows how the API writes what the core holds.

Fields that are None are left out. Instants are RFC 3339 in UTC, durations as Go writes them.
Values of custom headers are masked here, all of them unless a writer is to see some, so that no
response of the API forgets it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Self
from uuid import UUID

import msgspec
from attrs import evolve, field, frozen
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter, make_converter

from notification_adapters.delivery_fields import milliseconds, register_class, register_deliveries
from notification_adapters.event_formats.validation import instant
from notification_core.access.api_keys import ApiKeyDraft, IssuedApiKey
from notification_core.model.api_key import ApiKey, KeyState
from notification_core.model.caller import Scope
from notification_core.model.circuit_breaker import HealthState, WebhookHealth
from notification_core.model.custom_headers import masked, without_secrets
from notification_core.model.durations import format_duration, parse_duration
from notification_core.model.erasure import Erasure
from notification_core.model.event_types import EventType
from notification_core.model.read_models import Activity, LastAttempt, WebhookView
from notification_core.model.replay import Replay
from notification_core.model.request_records import AuditEntry
from notification_core.model.retry_overrides import RetryOverrides
from notification_core.model.signing_key import Jwk, KeyStatus, TrustedKey, public_forms
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import Webhook
from notification_core.replays.replays import ReplayDraft
from notification_core.signing.signatures import SignatureForm, SignatureHeaders
from notification_core.webhooks.webhooks import WebhookDraft

_ALL = "all"


@frozen
class VerificationKey:
    """The public half of a signing key, in every form that a receiver's library may ask for."""

    id: str
    algorithm: str
    status: KeyStatus
    hex: str
    base64: str
    pem: str
    whpk: str
    jwk: Jwk
    created_at: datetime
    not_before: datetime
    signature: SignatureForm
    expires_at: datetime | None = None


@frozen
class EnvironmentSettings:
    """What the receivers of an environment must know; ``verification_keys`` are all to trust."""

    public_verification_key: VerificationKey
    verification_keys: Sequence[VerificationKey]


@frozen
class ShownWebhook:
    """A webhook with what it last did, and those of its events that are not in the catalogue.

    A writer sees header values that are not secret.
    """

    view: WebhookView
    unknown_events: Sequence[str] = ()
    to_writer: bool = False


@frozen
class _Health:
    """How a webhook does, as it is shown."""

    state: HealthState
    consecutive_failures: int
    since: datetime | None = None
    next_probe_at: datetime | None = None

    @classmethod
    def of(cls, health: WebhookHealth | None) -> Self:
        """Return what is shown of a webhook's health, None if nothing is stored of it."""
        if health is None:
            return cls(HealthState.HEALTHY, 0)
        if probes := health.probes:
            return cls(health.state, health.failures, probes.paused_at, probes.next_at)
        since = None if health.state is HealthState.HEALTHY else health.since
        return cls(health.state, health.failures, since)


@frozen
class ShownApiKey:
    """A key that opens the API, as administrators see it; ``key`` itself only when it is new."""

    key_id: UUID
    name: str
    scope: Scope
    environments: Sequence[UUID] | str
    state: KeyState
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    key: str | None = field(default=None, repr=False)


@frozen
class ShownSigningSecret:
    """A webhook's signing secret; ``secret`` itself only when it is new."""

    secret_id: UUID
    created_at: datetime
    expires_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)


class ApiConverter:
    """Reads what customers send, already validated, and writes what they are answered."""

    def __init__(self, zone: tzinfo) -> None:
        self._converter = make_converter()
        self._converter.register_unstructure_hook(timedelta, format_duration)
        _register_webhooks(self._converter)
        register_deliveries(self._converter)
        _register_administration(self._converter)
        self._converter.register_structure_hook(timedelta, lambda text, _: parse_duration(text))
        self._converter.register_structure_hook(
            WebhookDraft,
            make_dict_structure_fn(
                WebhookDraft,
                self._converter,
                filter=override(struct_hook=lambda schema, _: filter_text(schema)),
            ),
        )
        self._converter.register_structure_hook(UUID, lambda text, _: UUID(text))
        self._converter.register_structure_hook(datetime, lambda text, _: instant(text, zone))

    def draft(self, fields: Mapping[str, object]) -> WebhookDraft:
        """Return the draft of a webhook; what is read-only is skipped.

        An instant without an offset is taken as in the converter's zone.
        """
        return self._converter.structure(fields, WebhookDraft)

    def api_key_draft(self, fields: Mapping[str, object]) -> ApiKeyDraft:
        """Return the draft of an API key; an expiry without an offset is taken as in the zone."""
        environments = fields["environments"]
        chosen = None if environments == _ALL else environments
        return self._converter.structure({**fields, "environments": chosen}, ApiKeyDraft)

    def replay_draft(self, fields: Mapping[str, object]) -> ReplayDraft:
        """Return the draft of a replay; whether it is a dry run is skipped."""
        return self._converter.structure(fields, ReplayDraft)

    def fields(self, webhook: Webhook) -> Mapping[str, object]:
        """Return a webhook as :meth:`dump` writes it, but as an object."""
        return msgspec.json.decode(self.dump(webhook), type=dict[str, object])

    def dump(self, value: object) -> bytes:
        """Return a value of the core, or a list of them, as JSON."""
        return self._converter.dumps(value)


def filter_text(schema: object) -> str:
    """Return the text of a filter, by which the core knows it."""
    return msgspec.json.encode(schema).decode()


def environment_settings(
    keys: Sequence[TrustedKey], headers: SignatureHeaders
) -> EnvironmentSettings:
    """Return what is published of an environment's keys, of which the first is the active one."""
    published = [verification_key(key, headers) for key in keys]
    return EnvironmentSettings(published[0], published)


def verification_key(trusted: TrustedKey, headers: SignatureHeaders) -> VerificationKey:
    """Return what is published of a key."""
    key, forms = trusted.key, public_forms(trusted.key.public_key)
    form = SignatureForm(headers.signature, headers.timestamp, headers.key_id, headers.standard)
    return VerificationKey(
        id=key.key_id,
        algorithm="ed25519",
        status=trusted.status,
        hex=forms.hex,
        base64=forms.base64,
        pem=forms.pem,
        whpk=forms.whpk,
        jwk=forms.jwk,
        created_at=key.created_at,
        not_before=key.not_before,
        signature=form,
        expires_at=key.expires_at,
    )


def shown_api_key(key: ApiKey, now: datetime) -> ShownApiKey:
    """Return what is shown of an API key."""
    return ShownApiKey(
        key_id=key.key_id,
        name=key.name,
        scope=key.scope,
        environments=_ALL if key.environments is None else sorted(key.environments),
        state=key.state(now),
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )


def new_api_key(issued: IssuedApiKey, now: datetime) -> ShownApiKey:
    """Return a new API key with what opens the API: it is shown this once."""
    return evolve(shown_api_key(issued.key, now), key=issued.secret_text)


def shown_signing_secret(secret: SigningSecret) -> ShownSigningSecret:
    """Return what is shown of a signing secret."""
    return ShownSigningSecret(secret.secret_id, secret.created_at, secret.expires_at)


def _register_webhooks(converter: MsgspecJsonConverter) -> None:
    """Have webhooks written with what they last did, and event types.

    A field of a webhook that is not named here is written as it is, if it has a value.
    """
    register_class(converter, RetryOverrides, _cattrs_omit_if_default=True)
    register_class(
        converter,
        Webhook,
        _cattrs_omit_if_default=True,
        events=override(unstruct_hook=sorted),
        method=override(omit_if_default=False),
        custom_headers=override(unstruct_hook=masked),
        filter=override(unstruct_hook=lambda text: text and msgspec.json.decode(text)),
        disabled_at=override(omit=True),
        signing_secrets=override(omit=True),
        version=override(omit=True),
        deleted_at=override(omit=True),
        resumed_at=override(omit=True),
        is_paused=override(omit=True),
    )
    register_class(
        converter,
        LastAttempt,
        _cattrs_omit_if_default=True,
        event_type=override(rename="event"),
        duration=override(rename="duration_ms", unstruct_hook=milliseconds),
    )
    register_class(converter, Activity, _cattrs_omit_if_default=True)
    register_class(converter, _Health, _cattrs_omit_if_default=True)

    def shown_webhook_fields(shown: ShownWebhook) -> dict[str, object]:
        webhook = shown.view.webhook
        fields: dict[str, object] = converter.unstructure(webhook)
        fields |= converter.unstructure(shown.view.activity)
        fields["health"] = converter.unstructure(_Health.of(shown.view.health))
        if shown.unknown_events:
            fields["unknown_events"] = shown.unknown_events
        if shown.to_writer and webhook.custom_headers:
            fields["custom_headers"] = without_secrets(webhook.custom_headers)
        return fields

    converter.register_unstructure_hook(ShownWebhook, shown_webhook_fields)
    register_class(
        converter,
        EventType,
        _cattrs_omit_if_default=True,
        schema=override(unstruct_hook=dict),
        example=override(unstruct_hook=lambda example: example),
    )


def _register_administration(converter: MsgspecJsonConverter) -> None:
    """Have keys, audit entries, replays and erasures written."""
    for value in (VerificationKey, ShownApiKey, ShownSigningSecret, AuditEntry):
        register_class(converter, value, _cattrs_omit_if_default=True)
    stored_replay_fields = make_dict_unstructure_fn(
        Replay,
        converter,
        _cattrs_omit_if_default=True,
        environment_id=override(omit=True),
        selection=override(omit=True),
        state=override(omit_if_default=False),
        replayed=override(omit_if_default=False),
    )

    def replay_fields(replay: Replay) -> dict[str, object]:
        selection = replay.selection
        return {
            **stored_replay_fields(replay),
            "since": converter.unstructure(selection.since),
            "until": converter.unstructure(selection.until),
            "states": sorted(selection.states),
        }

    converter.register_unstructure_hook(Replay, replay_fields)
    stored_erasure_fields = make_dict_unstructure_fn(
        Erasure, converter, _cattrs_omit_if_default=True, erased=override(omit_if_default=False)
    )

    def erasure_fields(erasure: Erasure) -> dict[str, object]:
        return {**stored_erasure_fields(erasure), "state": erasure.state.value}

    converter.register_unstructure_hook(Erasure, erasure_fields)
