"""Webhooks: the subscriptions of an environment, and the rules that need nothing else."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from attrs import field, frozen

from notification_core.model.retry_overrides import RetryOverrides
from notification_core.model.signing_secret import SigningSecret

FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Until when a webhook is disabled that the system itself disabled."""

SKIPS_RECORDED_FOR = timedelta(hours=120)
"""How long skips are recorded for a webhook that the system itself disabled."""


class Method(StrEnum):
    """The HTTP methods that a webhook may be sent with."""

    GET = "get"
    POST = "post"
    PUT = "put"
    PATCH = "patch"
    DELETE = "delete"


class DisabledReason(StrEnum):
    """Why the system disabled a webhook."""

    GONE = "gone"
    FAILING = "failing"


@frozen
class Webhook:
    """A subscription of one environment: where to send which event types.

    ``custom_headers`` are in clear here; storage encrypts their values. ``filter`` is the JSON text
    of the schema that a body must match (:mod:`notification_core.model.event_filter`). ``retry``
    and ``timeout`` take the place of the installation's. One that is ``ordered`` gets events of the
    same ordering key one after another (:mod:`notification_core.model.ordering`). At most
    ``rate_limit`` requests per second are made (:mod:`notification_core.model.rate_limit`).
    ``signing_secrets`` are the newest first, and expired ones may be among them. ``version`` grows
    with each change of the row but those of the secrets. ``deleted_at`` is set on a tombstone.
    ``is_paused`` says that the circuit breaker is open, and ``resumed_at`` when it last closed:
    neither is a change.
    """

    webhook_id: UUID
    environment_id: UUID
    name: str
    url: str
    events: frozenset[str]
    created_at: datetime
    updated_at: datetime
    method: Method = Method.POST
    description: str | None = None
    disabled_until: datetime | None = None
    disabled_reason: DisabledReason | None = None
    disabled_at: datetime | None = None
    custom_headers: Mapping[str, str] = field(factory=dict, repr=False)
    filter: str | None = None
    retry: RetryOverrides | None = None
    timeout: timedelta | None = None
    ordered: bool = False
    rate_limit: int | None = None
    signing_secrets: tuple[SigningSecret, ...] = field(default=(), repr=False)
    version: int = 1
    deleted_at: datetime | None = None
    resumed_at: datetime | None = None
    is_paused: bool = False

    def is_disabled(self, now: datetime) -> bool:
        """Tell whether nothing is to be sent at this moment."""
        return self.disabled_until is not None and now < self.disabled_until

    def gets_deliveries(self, now: datetime) -> bool:
        """Tell whether events make deliveries for it, be they skipped ones.

        After a while, skips of a webhook that the system disabled are not recorded any more.
        """
        if self.deleted_at is not None:
            return False
        if self.disabled_reason is None or self.disabled_at is None or not self.is_disabled(now):
            return True
        return now - self.disabled_at <= SKIPS_RECORDED_FOR

    @property
    def may_be_claimed_on_insert(self) -> bool:
        """Whether who stores a delivery may take it at once: rates and probes go by claims."""
        return self.rate_limit is None and not self.is_paused

    def may_be_sent_to(self, now: datetime) -> bool:
        """Tell whether a delivery may be sent at this moment."""
        return self.deleted_at is None and not self.is_disabled(now)
