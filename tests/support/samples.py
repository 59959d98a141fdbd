"""Values for tests of the core, with what does not matter filled in."""

from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from notification_core.dispatch.webhook_queue import QueuedDelivery
from notification_core.model.delivery import (
    Attempt,
    AttemptError,
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    ErrorCode,
    Fence,
    NextStep,
    Succeeded,
)
from notification_core.model.event import Event
from notification_core.model.webhook import DisabledReason, Webhook

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENVIRONMENT = UUID("1f81eb52-5198-4599-803e-771906343485")
WORKER = UUID(int=0xFEED)
CREATED = "pipeline-created"

_numbers = count(1)


def an_id() -> UUID:
    """Return an identifier that no other value has."""
    return UUID(int=next(_numbers))


def a_webhook(  # noqa: PLR0913 - what tests vary
    webhook_id: UUID | None = None,
    *,
    environment_id: UUID = ENVIRONMENT,
    url: str | None = None,
    events: frozenset[str] = frozenset({CREATED}),
    disabled_until: datetime | None = None,
    disabled_reason: DisabledReason | None = None,
    disabled_at: datetime | None = None,
    deleted_at: datetime | None = None,
) -> Webhook:
    """Return a webhook; its URL is its own where none is given."""
    webhook_id = webhook_id or an_id()
    return Webhook(
        webhook_id=webhook_id,
        environment_id=environment_id,
        name="a webhook",
        url=url or f"https://{webhook_id}.example.com/",
        events=events,
        created_at=NOW,
        updated_at=NOW,
        disabled_until=disabled_until,
        disabled_reason=disabled_reason,
        disabled_at=disabled_at,
        deleted_at=deleted_at,
    )


def an_event(
    event_id: str | None = None,
    *,
    environment_id: UUID = ENVIRONMENT,
    event_type: str = CREATED,
    data: bytes = b"{}",
) -> Event:
    """Return an event that nobody else has the id of."""
    return Event(event_id or f"event-{next(_numbers)}", environment_id, event_type, NOW, data)


def a_delivery(webhook: Webhook, *, body: bytes = b"{}", failures: int = 0) -> ClaimedDelivery:
    """Return a delivery in its first attempt."""
    fence = Fence(an_id(), webhook.environment_id, 1, WORKER)
    return ClaimedDelivery(fence, webhook.webhook_id, "event", CREATED, failures, body)


def held(webhook: Webhook, *, leased_until: float = 1e9, size: int = 2) -> QueuedDelivery:
    """Return a delivery in this process's hands."""
    return QueuedDelivery(a_delivery(webhook, body=b"x" * size), leased_until)


def a_result(
    webhook: Webhook, *, verdict: NextStep | None = None, error: ErrorCode | None = None
) -> AttemptResult:
    """Return what an attempt came to: success, unless it says otherwise."""
    delivery = a_delivery(webhook)
    attempt = Attempt(
        log_id=an_id(),
        environment_id=webhook.environment_id,
        webhook_id=webhook.webhook_id,
        delivery_id=delivery.fence.delivery_id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        number=1,
        outcome=AttemptOutcome.SUCCEEDED if error is None else AttemptOutcome.FAILED,
        started_at=NOW,
        error=AttemptError(error, "in words") if error else None,
    )
    return AttemptResult(delivery.fence, attempt, verdict or Succeeded(), webhook.version)
