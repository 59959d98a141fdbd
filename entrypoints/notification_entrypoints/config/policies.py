"""What the settings say of each part of the core, in its own words."""

from notification_core.dispatch.attempt import DeliveryRules
from notification_core.dispatch.dispatcher import DispatchRules
from notification_core.dispatch.fair_queue import Bounds
from notification_core.maintenance.lease_reaper import UpkeepRules
from notification_core.maintenance.retention_sweeper import RetentionRules
from notification_core.model.event_types import EVENT_TYPES
from notification_core.model.retry_policy import RetryPolicy
from notification_core.webhooks.webhooks import WebhookRules
from notification_entrypoints.config.settings import Settings


def webhook_rules(settings: Settings) -> WebhookRules:
    """Return what the settings say of webhooks."""
    return WebhookRules(
        destinations=settings.destinations,
        reserved_headers=settings.signature_headers.names,
        event_types=EVENT_TYPES.keys(),
        max_webhooks=settings.webhooks_max_per_environment,
    )


def delivery_rules(settings: Settings) -> DeliveryRules:
    """Return what the settings say of attempts."""
    return DeliveryRules(
        timeout=settings.webhooks_write_timeout,
        retries=RetryPolicy(
            max_retries=settings.webhooks_max_retries,
            interval=settings.webhooks_retry_interval,
            backoff=settings.webhooks_retry_backoff,
            retry_after_max=settings.webhooks_retry_after_max,
        ),
    )


def dispatch_rules(settings: Settings) -> DispatchRules:
    """Return what the settings say of dispatching."""
    return DispatchRules(
        bounds=Bounds(
            in_flight=settings.webhooks_max_in_flight,
            per_webhook=settings.webhooks_max_in_flight_per_webhook,
        ),
        lease=settings.webhooks_lease,
        poll_interval=settings.webhooks_poll_interval,
    )


def retention_rules(settings: Settings) -> RetentionRules:
    """Return what the settings say of how long things are kept."""
    return RetentionRules(
        logs=settings.retention_logs,
        audit=settings.retention_audit,
        events=settings.retention_events,
    )


def upkeep_rules(settings: Settings) -> UpkeepRules:
    """Return what the settings say of how long things last."""
    return UpkeepRules(
        interruption_delay=settings.webhooks_retry_interval,
        disable_after=settings.webhooks_disable_after,
        expire_after=settings.retention_events,
    )
