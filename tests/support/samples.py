"""Values for tests of the core, with what does not matter filled in."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from attrs import evolve

from notification_adapters.event_formats.catalogue import default_catalogue
from notification_core.dispatch.webhook_queue import QueuedDelivery
from notification_core.model.caller import Scope
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
from notification_core.model.portal_session import PortalSession
from notification_core.model.webhook import Webhook

CATALOGUE = default_catalogue()
EVENT_TYPES = CATALOGUE.types
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENVIRONMENT = UUID("1f81eb52-5198-4599-803e-771906343485")
WORKER = UUID(int=0xFEED)
CREATED = "pipeline-created"

_numbers = count(1)


def an_id() -> UUID:
    """Return an identifier that no other value has."""
    return UUID(int=next(_numbers))


def a_webhook(webhook_id: UUID | None = None, **changes: Any) -> Webhook:
    """Return a webhook with these changes to the usual one, whose id and URL are its own."""
    webhook_id = webhook_id or an_id()
    webhook = Webhook(
        webhook_id=webhook_id,
        environment_id=ENVIRONMENT,
        name="a webhook",
        url=f"https://{webhook_id}.example.com/",
        events=frozenset({CREATED}),
        created_at=NOW,
        updated_at=NOW,
    )
    return evolve(webhook, **changes)


def an_event(event_id: str | None = None, **changes: Any) -> Event:
    """Return an event with these changes to the usual one, whose id is its own."""
    event = Event(event_id or f"event-{next(_numbers)}", ENVIRONMENT, CREATED, NOW, b"{}")
    return evolve(event, **changes)


def a_portal_session(session_id: UUID, environment_id: UUID, now: datetime) -> PortalSession:
    """Return a session of an hour whose code, which nobody knows, was not exchanged."""
    expires_at = now + timedelta(hours=1)
    return PortalSession(session_id, environment_id, Scope.READ, "Anna", now, expires_at, b"x")


def a_delivery(webhook: Webhook, *, body: bytes = b"{}", failures: int = 0) -> ClaimedDelivery:
    """Return a delivery in its first attempt."""
    fence = Fence(an_id(), webhook.environment_id, 1, WORKER)
    return ClaimedDelivery(fence, webhook.webhook_id, "event", CREATED, failures, body)


def held(
    webhook: Webhook, *, leased_until: float = 1e9, size: int = 2, prefetched: bool = False
) -> QueuedDelivery:
    """Return a delivery in this process's hands."""
    delivery = evolve(a_delivery(webhook, body=b"x" * size), prefetched=prefetched)
    return QueuedDelivery(delivery, leased_until)


def a_result(
    webhook: Webhook, *, next_step: NextStep | None = None, error: ErrorCode | None = None
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
    return AttemptResult(delivery.fence, attempt, next_step or Succeeded(), webhook.version)
