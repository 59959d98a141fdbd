"""What the API takes and returns. A field that is not set is ``None``; unknown ones are ignored.

States, outcomes and reasons are plain text, so that a newer server's values can be read.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from notification_client.base import Model, SecretFree
from notification_client.errors import FieldError


class NewEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event to publish: its type, and its data, which is anything that JSON can say.

    Without an ``event_id`` the client makes one before the first try: no retry publishes it twice.
    """

    event: str
    data: Any
    event_id: str | None = None
    occurred_at: datetime | None = None
    ordering_key: str | None = None


class PublishedEvent(Model, frozen=True, kw_only=True):
    """An event that is stored; a ``duplicate`` was stored before under the same id.

    ``warnings`` tell what does not match the schema of its type.
    """

    event_id: str
    duplicate: bool
    warnings: list[FieldError] = msgspec.field(default_factory=list)


class EventType(Model, frozen=True, kw_only=True):
    """A type of events, with the JSON Schema of its data."""

    name: str
    description: str
    schema: dict[str, Any]
    example: Any
    summary: str | None = None
    deprecated: bool = False


class AttemptError(Model, frozen=True, kw_only=True):
    """Why an attempt did not succeed: a code of a closed list, and words for a person."""

    code: str
    message: str


class LastAttempt(Model, frozen=True, kw_only=True):
    """The latest attempt of a webhook, or the latest that failed, which has an ``error``."""

    log_id: UUID
    delivery_id: UUID
    event: str
    at: datetime
    http_code: int | None = None
    duration_ms: float | None = None
    error: AttemptError | None = None


class WebhookHealth(Model, frozen=True, kw_only=True):
    """How a webhook's receiver does: its ``state`` is healthy, failing or paused."""

    state: str
    consecutive_failures: int
    since: datetime | None = None
    next_probe_at: datetime | None = None


class Retry(Model, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook's own retries; what is None is the installation's. Durations are like ``1m30s``."""

    max_retries: int | None = None
    interval: str | None = None
    backoff: float | None = None
    max_interval: str | None = None


class WebhookDraft(SecretFree, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook to create, or what to replace one by."""

    name: str
    url: str
    events: list[str]
    method: str = "post"
    description: str | None = None
    disabled_until: datetime | None = None
    custom_headers: dict[str, str] | None = None
    filter: dict[str, Any] | None = None
    retry: Retry | None = None
    timeout: str | None = None
    ordered: bool = False
    rate_limit: int | None = None


class WebhookPatch(SecretFree, frozen=True, kw_only=True):
    """What to change of a webhook; None removes a field, and what is not given stays."""

    name: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    events: list[str] | UnsetType = UNSET
    method: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    disabled_until: datetime | UnsetType | None = UNSET
    custom_headers: dict[str, str | None] | UnsetType | None = UNSET
    filter: dict[str, Any] | UnsetType | None = UNSET
    retry: dict[str, Any] | UnsetType | None = UNSET
    timeout: str | UnsetType | None = UNSET
    ordered: bool | UnsetType | None = UNSET
    rate_limit: int | UnsetType | None = UNSET


class Webhook(Model, frozen=True, kw_only=True):
    """A webhook; ``etag`` is the version that was read."""

    webhook_id: UUID
    environment_id: UUID
    name: str
    url: str
    method: str
    events: list[str]
    created_at: datetime
    updated_at: datetime
    unknown_events: list[str] = msgspec.field(default_factory=list)
    description: str | None = None
    disabled_until: datetime | None = None
    disabled_reason: str | None = None
    custom_headers: dict[str, str] = msgspec.field(default_factory=dict)
    filter: dict[str, Any] | None = None
    retry: Retry | None = None
    timeout: str | None = None
    ordered: bool = False
    rate_limit: int | None = None
    last_triggered: LastAttempt | None = None
    last_errored: LastAttempt | None = None
    health: WebhookHealth | None = None
    etag: str | None = None


class SigningSecret(Model, frozen=True, kw_only=True):
    """A secret that requests to a webhook are signed with, until it expires if it does."""

    secret_id: UUID
    created_at: datetime
    expires_at: datetime | None = None


class NewSigningSecret(SigningSecret, frozen=True, kw_only=True):
    """A new signing secret; ``secret`` is shown this once."""

    secret: str | None = None


class SentRequest(Model, frozen=True, kw_only=True):
    """The request of an attempt; custom header values are masked."""

    method: str
    url: str
    headers: dict[str, Any]


class ReceivedResponse(Model, frozen=True, kw_only=True):
    """The response to an attempt; ``truncated`` says that its body was cut."""

    http_code: int
    headers: dict[str, Any]
    body: str
    truncated: bool


class AttemptPhases(Model, frozen=True, kw_only=True):
    """The phases of an attempt, in milliseconds; None of one that did not happen.

    Without ``dns``, ``connect`` and ``tls`` an open connection was reused.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    read: float | None = None


class WebhookLog(Model, frozen=True, kw_only=True):
    """An attempt that has ended; an interrupted one has no request, response or duration."""

    log_id: UUID
    webhook_id: UUID
    delivery_id: UUID
    event_id: str
    event: str
    attempt: int
    outcome: str
    started_at: datetime
    error: AttemptError | None = None
    request: SentRequest | None = None
    response: ReceivedResponse | None = None
    duration_ms: float | None = None
    phases_ms: AttemptPhases | None = None
    next_attempt_at: datetime | None = None
    instance: str | None = None


class Delivery(Model, frozen=True, kw_only=True):
    """An event on its way to a webhook."""

    delivery_id: UUID
    webhook_id: UUID
    event_id: str
    event: str
    state: str
    attempt: int
    created_at: datetime
    reason: str | None = None
    origin: str | None = None
    replay_id: UUID | None = None
    next_attempt_at: datetime | None = None
    ordering_key: str | None = None
    held: bool = False


class DeliveryWithAttempts(Delivery, frozen=True, kw_only=True):
    """A delivery with its attempts, the latest first."""

    attempts: list[WebhookLog]


class StoredEvent(Model, frozen=True, kw_only=True):
    """What is known of an event by itself."""

    event_id: str
    event: str
    occurred_at: datetime
    stored_at: datetime
    ordering_key: str | None = None


class EventSummary(StoredEvent, frozen=True, kw_only=True):
    """An event, with how many of its deliveries are in each state."""

    deliveries: dict[str, int]


class EventWithDeliveries(StoredEvent, frozen=True, kw_only=True):
    """An event with its deliveries."""

    deliveries: list[Delivery]


class ReplayCount(Model, frozen=True, kw_only=True):
    """How many deliveries a replay would make; not exact if there are very many."""

    count: int
    is_exact: bool


class Replay(Model, frozen=True, kw_only=True):
    """A replay: deliveries that are repeated of the events of a time range."""

    replay_id: UUID
    webhook_id: UUID
    since: datetime
    until: datetime
    states: list[str]
    state: str
    replayed: int
    created_at: datetime
    done_until: datetime | None = None
    ended_at: datetime | None = None


class TriedEvent(Model, frozen=True, kw_only=True):
    """A stored event, and whether a filter matches it."""

    event_id: str
    type: str
    matched: bool
    errors: list[FieldError]


class FilterTrial(Model, frozen=True, kw_only=True):
    """How many stored events a filter matches."""

    tried: int
    matched: int
    results: list[TriedEvent]


class VerificationKey(Model, frozen=True, kw_only=True):
    """A public key that signatures verify with, in several forms."""

    id: str
    algorithm: str
    status: str
    hex: str
    base64: str
    pem: str
    whpk: str
    jwk: dict[str, str]
    created_at: datetime
    not_before: datetime
    signature: dict[str, Any]
    expires_at: datetime | None = None


class Settings(Model, frozen=True, kw_only=True):
    """The verification keys of an environment."""

    public_verification_key: VerificationKey
    verification_keys: list[VerificationKey]


class ApiKey(Model, frozen=True, kw_only=True):
    """An API key, without its text. ``environments`` are ids, or ``all``."""

    key_id: UUID
    name: str
    scope: str
    environments: list[UUID] | str
    state: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class NewApiKey(ApiKey, frozen=True, kw_only=True):
    """An API key that was just created; its ``key`` is shown this once."""

    key: str


class Erasure(Model, frozen=True, kw_only=True):
    """How far the erasure of an environment is."""

    environment_id: UUID
    state: str
    requested_at: datetime
    erased: int
    ended_at: datetime | None = None


class Percentiles(Model, frozen=True, kw_only=True):
    """Durations that 50, 95 and 99 of a hundred do not exceed, in milliseconds."""

    p50: float
    p95: float
    p99: float


class StatisticsTotal(Model, frozen=True, kw_only=True):
    """What was counted: attempts by outcome, errors by code, deliveries by final state."""

    attempts: dict[str, int]
    errors: dict[str, int]
    deliveries: dict[str, int]
    attempt_duration_ms: Percentiles | None = None
    delivery_time_ms: Percentiles | None = None


class StatisticsBucket(StatisticsTotal, frozen=True, kw_only=True):
    """What was counted in the minute, hour or day that begins at ``start``."""

    start: datetime


class Statistics(Model, frozen=True, kw_only=True):
    """What was sent within some time, in total and by ``bucket``: minute, hour or day."""

    since: datetime
    until: datetime
    bucket: str
    total: StatisticsTotal
    buckets: list[StatisticsBucket]


class AuditEntry(Model, frozen=True, kw_only=True):
    """Who changed what, and when."""

    entry_id: UUID
    at: datetime
    actor: str
    address: str
    action: str
    subject: str
    request_id: str
    environment_id: UUID | None = None
