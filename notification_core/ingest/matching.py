"""Which webhooks an event is for: the one rule, used inside the transaction that stores it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from notification_core.model.event import Event
from notification_core.model.webhook import SKIPS_RECORDED_FOR, Webhook

WebhooksByEventType = Mapping[tuple[UUID, str], Sequence[Webhook]]
"""Webhooks by (environment id, event type)."""


def subscriptions_by_type(webhooks: Iterable[Webhook], now: datetime) -> WebhooksByEventType:
    """Sort webhooks by what they subscribe to; those that get no delivery at all are left out."""
    by_type: dict[tuple[UUID, str], list[Webhook]] = {}
    for webhook in webhooks:
        if webhook.deleted_at is None and not _is_long_disabled(webhook, now):
            for event_type in webhook.events:
                by_type.setdefault((webhook.environment_id, event_type), []).append(webhook)
    return by_type


def matching(event: Event, subscriptions: WebhooksByEventType) -> Sequence[Webhook]:
    """Return the webhooks that get a delivery of this event (a skipped one if disabled)."""
    return subscriptions.get((event.environment_id, event.type), ())


def _is_long_disabled(webhook: Webhook, now: datetime) -> bool:
    """After a while, skips of a webhook that the system disabled are not recorded any more."""
    if webhook.disabled_reason is None or webhook.disabled_at is None:
        return False
    return webhook.is_disabled(now) and now - webhook.disabled_at > SKIPS_RECORDED_FOR
