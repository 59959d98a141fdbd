"""A client of the webhook delivery API for asyncio: publish events, manage webhooks, look back.

It needs aiohttp and msgspec (the extra ``client``), and nothing else of this project::

    async with NotificationClient("https://notify.example.com/api", api_key="whk_…") as client:
        await client.publish(environment_id, [NewEvent("job-completed", {"job_id": "…"})])
"""

from notification_client.client import NotificationClient
from notification_client.dead_letters import (
    DeadLetter,
    DeadLetterWithMessage,
    ReplayedDeadLetter,
)
from notification_client.errors import (
    ApiRefused,
    ApiUnavailable,
    ClientError,
    FieldError,
    NotAuthorized,
    NotFound,
    NotOurApi,
    Outdated,
)
from notification_client.models import (
    ApiKey,
    AttemptError,
    AuditEntry,
    Delivery,
    DeliveryWithAttempts,
    Erasure,
    EventSummary,
    EventType,
    EventWithDeliveries,
    FilterTrial,
    NewApiKey,
    NewEvent,
    PublishedEvent,
    Replay,
    ReplayCount,
    Settings,
    Statistics,
    VerificationKey,
    Webhook,
    WebhookDraft,
    WebhookLog,
)
from notification_client.portal_sessions import NewPortalSession, PortalSession
from notification_client.transport import Transport

__all__ = [
    "ApiKey",
    "ApiRefused",
    "ApiUnavailable",
    "AttemptError",
    "AuditEntry",
    "ClientError",
    "DeadLetter",
    "DeadLetterWithMessage",
    "Delivery",
    "DeliveryWithAttempts",
    "Erasure",
    "EventSummary",
    "EventType",
    "EventWithDeliveries",
    "FieldError",
    "FilterTrial",
    "NewApiKey",
    "NewEvent",
    "NewPortalSession",
    "NotAuthorized",
    "NotFound",
    "NotOurApi",
    "NotificationClient",
    "Outdated",
    "PortalSession",
    "PublishedEvent",
    "Replay",
    "ReplayCount",
    "ReplayedDeadLetter",
    "Settings",
    "Statistics",
    "Transport",
    "VerificationKey",
    "Webhook",
    "WebhookDraft",
    "WebhookLog",
]
