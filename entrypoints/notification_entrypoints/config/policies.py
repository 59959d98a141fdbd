"""What the settings say of each part of the product, in its own words."""

from pathlib import Path
from ssl import SSLContext

from notification_adapters.event_formats.catalogue import operational_catalogue
from notification_adapters.http.destination_guard import trust_in
from notification_core.dispatch.attempt import DeliveryRules
from notification_core.dispatch.capacity import Bounds
from notification_core.dispatch.dispatcher import DispatchRules
from notification_core.errors import Detail, InvalidSettings
from notification_core.maintenance.lease_reaper import ReaperRules
from notification_core.maintenance.retention_sweeper import RetentionRules
from notification_core.model.circuit_breaker import BreakerPolicy
from notification_core.model.event_types import EventCatalogues
from notification_core.model.retry_policy import RetryPolicy
from notification_core.webhooks.webhooks import WebhookRules
from notification_entrypoints.config.settings import Settings


def webhook_rules(settings: Settings) -> WebhookRules:
    """Return what the settings say of webhooks."""
    return WebhookRules(
        destinations=settings.webhooks.destinations,
        reserved_headers=settings.webhooks.signature_headers.names,
        catalogues=event_catalogues(settings),
        max_webhooks=settings.webhooks.max_per_environment,
        max_timeout=settings.webhooks.write_timeout,
    )


def event_catalogues(settings: Settings) -> EventCatalogues:
    """Return which event types webhooks can subscribe to."""
    return EventCatalogues(
        settings.event.catalogue, operational_catalogue(), settings.operational_webhook_environment
    )


def delivery_rules(settings: Settings) -> DeliveryRules:
    """Return what the settings say of attempts."""
    return DeliveryRules(
        timeout=settings.webhooks.write_timeout,
        retries=RetryPolicy(
            max_retries=settings.webhooks.max_retries,
            interval=settings.webhooks.retry_interval,
            backoff=settings.webhooks.retry_backoff,
            retry_after_max=settings.webhooks.retry_after_max,
        ),
    )


def dispatch_rules(settings: Settings) -> DispatchRules:
    """Return what the settings say of dispatching."""
    return DispatchRules(
        bounds=Bounds(
            in_flight=settings.webhooks.max_in_flight,
            per_webhook=settings.webhooks.max_in_flight_per_webhook,
        ),
        lease=settings.webhooks.lease,
        poll_interval=settings.webhooks.poll_interval,
        breaker=BreakerPolicy(
            failures=settings.webhooks.breaker_failures,
            pause=settings.webhooks.breaker_pause,
            max_pause=settings.webhooks.breaker_max_pause,
        ),
    )


def retention_rules(settings: Settings) -> RetentionRules:
    """Return what the settings say of how long things are kept."""
    return RetentionRules(
        logs=settings.retention.logs,
        audit=settings.retention.audit,
        events=settings.retention.events,
        statistics=settings.retention.stats,
    )


def reaper_rules(settings: Settings) -> ReaperRules:
    """Return what the settings say of how long things last."""
    return ReaperRules(
        interruption_delay=settings.webhooks.retry_interval,
        disable_after=settings.webhooks.disable_after,
        expire_after=settings.retention.events,
        hold=settings.webhooks.breaker_hold if settings.webhooks.breaker_failures else None,
    )


def trust_of(variable: str, authorities: Path | None) -> SSLContext | None:
    """Return what trusts the certificates of a file, None without one: the system's are trusted.

    Raises :class:`InvalidSettings`, which names the variable, where the file cannot be read.
    """
    if authorities is None:
        return None
    try:
        return trust_in(authorities)
    except OSError as error:  # ssl.SSLError is one too
        reason = error.strerror or error
        problem = (
            f"{variable} is {str(authorities)!r}, but must be a file of PEM certificates "
            f"that this process can read ({reason})"
        )
        raise InvalidSettings(
            f"The settings are refused: {problem}.", [Detail(variable, problem)]
        ) from error
