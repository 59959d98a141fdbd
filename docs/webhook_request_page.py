"""What a receiver gets: the pages of the webhook request and of the event catalogue.

The example is a request as the product itself makes it, with a key that everybody knows.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from schema_tables import field_rows, table

from notification_adapters.event_formats.catalogue import (
    default_catalogue,
    operational_catalogue,
)
from notification_adapters.http.native.sender import head_of, target_of
from notification_adapters.memory import ManualClock, ScriptedSender
from notification_adapters.null_objects import NoTracer
from notification_core.concurrency.ids import IdGenerator
from notification_core.dispatch.attempt import AttemptMaker
from notification_core.model.delivery import ClaimedDelivery, Fence
from notification_core.model.destinations import DestinationPolicy, check_url
from notification_core.model.durations import format_duration
from notification_core.model.event import Event, body_of
from notification_core.model.event_types import EventType
from notification_core.model.signing_key import new_signing_key
from notification_core.model.webhook import Webhook
from notification_core.ports.sender import HttpRequest
from notification_core.signing.signatures import CryptographySigner, SignatureCache
from notification_entrypoints.config.groups import DbSettings
from notification_entrypoints.config.policies import delivery_rules
from notification_entrypoints.config.settings import Settings

_AT = datetime(2026, 11, 24, 9, 31, tzinfo=UTC)
_ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
_WEBHOOK = UUID("019ab5c2-7a10-7c31-9f04-6a3d7e2b1c55")
_DELIVERY = UUID("019ab5c3-8a02-7d15-8e55-4b0f7a0d9e11")
_URL = "https://example.com/hooks/jobs"
_SEED = bytes(range(32))


def webhook_request_page() -> Sequence[str]:
    """Return the parts of the page on the request that a receiver gets."""
    settings = Settings(db=DbSettings(encryption_secret="x" * 32), project_management_api_uri=None)
    rules, headers = delivery_rules(settings), settings.webhooks.signature_headers
    key = new_signing_key(_ENVIRONMENT, _AT, _SEED)
    request = asyncio.run(_captured(settings))
    head = head_of(request, target_of(check_url(_URL, DestinationPolicy())))
    retries = rules.retries
    longest, first = format_duration(retries.retry_after_max), format_duration(retries.interval)
    as_asked = f"the next one waits as long as it asks for, up to {longest}"
    later = f", and each further one {retries.backoff:g} times as late as the one before"
    if retries.backoff == 1:
        later = ""
    return [
        "# Webhook request",
        (
            "Each event is sent to each webhook that subscribes to its type, as one HTTP request. "
            "This is a whole one, as it goes over the wire:"
        ),
        f"```http\n{_wrapped(head.decode().rstrip())}\n\n{request.body.decode()}\n```",
        (
            f"It verifies with the public key `{key.public_key.hex()}`, whose private half is the "
            "32 bytes 00, 01, … 1f: use it in your tests, and nowhere else."
        ),
        "## Body",
        (
            "UTF-8 JSON without line breaks. It is serialized once, when the event is stored: each "
            "attempt, redelivery and replay sends the same bytes."
        ),
        table(
            ("field", "type", "meaning"),
            [
                ("`id`", "string", "The id of the event: what its publisher chose, or a UUID."),
                ("`type`", "string", "The [event type](event-catalogue.md)."),
                ("`timestamp`", "date-time", "When it happened: UTC, with microseconds."),
                ("`environment_id`", "uuid", "The environment that it happened in."),
                ("`data`", "any JSON", "What happened, as the publisher wrote it, byte for byte."),
            ],
        ),
        "## Headers",
        table(
            ("header", "meaning"),
            [
                ("`Content-Type`", "`application/json`"),
                ("`User-Agent`", "`notification-management/` and the version"),
                ("`webhook-id`", "The message: the same for each attempt, of the event's `id`."),
                ("`webhook-timestamp`", "When this attempt was signed, in unix seconds."),
                (
                    "`webhook-signature`",
                    "Signatures of the Standard Webhooks scheme, separated by spaces.",
                ),
                ("`webhook-delivery`", "The id of the delivery: one event on its way to you."),
                ("`webhook-attempt`", "The number of the attempt: 1, 2, …"),
                (f"`{headers.signature}`", "The signature of our own scheme."),
                (f"`{headers.timestamp}`", "The same time as `webhook-timestamp`."),
                (f"`{headers.key_id}`", "The id of the key that made both signatures."),
                ("your custom headers", "Up to ten, as set in `custom_headers` of the webhook."),
            ],
        ),
        (
            "The names of our own scheme's headers depend on the installation "
            "([settings](settings.md)); `GET /api/environments/{environment_id}/settings` says how "
            "they are called there."
        ),
        "## Signatures",
        table(
            ("scheme", "header", "signed bytes", "encoding", "key"),
            [
                (
                    "ours, Ed25519",
                    f"`{headers.signature}`",
                    "timestamp, body",
                    "lower-case hex",
                    "the environment's active verification key",
                ),
                (
                    "Standard Webhooks `v1a`, Ed25519",
                    "`webhook-signature`",
                    "`webhook-id`, `.`, timestamp, `.`, body",
                    "`v1a,` and base64",
                    "each verification key of the environment, up to three",
                ),
                (
                    "Standard Webhooks `v1`, HMAC-SHA256",
                    "`webhook-signature`",
                    "`webhook-id`, `.`, timestamp, `.`, body",
                    "`v1,` and base64",
                    "each signing secret of the webhook, up to two, if it has any",
                ),
            ],
        ),
        (
            "One valid signature is enough. Reject a timestamp that is more than five minutes from "
            "your clock. [How to verify](../how-to/verify.md) has the code in many languages, "
            "[test vectors](signing-vectors.md) are for whoever writes more."
        ),
        "## Your response",
        (
            f"Respond within {format_duration(rules.timeout)}; do slow work afterwards. The first "
            "16 KiB of the response's body are kept in the log."
        ),
        table(
            ("response", "what happens"),
            [
                ("2xx", "The delivery has succeeded."),
                (
                    "410",
                    "The delivery has failed, and the webhook is disabled: you want no more.",
                ),
                (
                    "3xx",
                    "A failed attempt: redirects are not followed. Update the webhook's `url`.",
                ),
                ("429, 503 with `Retry-After`", f"A failed attempt; {as_asked}."),
                ("any other", "A failed attempt."),
                (
                    "none: timeout, DNS, connection or TLS error",
                    "A failed attempt, with the reason in the log.",
                ),
            ],
        ),
        (
            f"After a failed attempt the next one follows in {first}{later}, lengthened by up to a "
            f"fifth at random; after {retries.max_retries} retries the delivery has "
            "failed. The installation sets these numbers ([settings](settings.md)). A failed "
            "delivery can be [redelivered](../how-to/replay.md)."
        ),
        "## Order and duplicates",
        (
            "Deliveries are made at least once: if a process is killed while it waits for your "
            "response, the attempt is repeated. [Deduplicate](../how-to/verify.md) by "
            "`webhook-id`. Events may arrive in another order than they happened in: compare "
            "`timestamp`."
        ),
    ]


def event_catalogue_page() -> Sequence[str]:
    """Return the parts of the page on the event types that are there by default."""
    parts = [
        "# Event catalogue",
        (
            "The event types of an installation that has no catalogue of its own; "
            "[your own event types](../how-to/event-types.md) take their place. "
            "`GET /api/webhooks/events` lists those of an installation, with their schemas. The "
            "tables are of `data`, which stands in the [webhook request](webhook-request.md)."
        ),
    ]
    for event_type in default_catalogue().types.values():
        parts += _event_type(event_type)
    parts += [
        "## Operational events",
        (
            "The system itself publishes these, to webhooks of the environment that "
            "`OPERATIONAL_WEBHOOK_ENVIRONMENT` names: see [operational events]"
            "(../how-to/operational-events.md). Their names are reserved in every catalogue."
        ),
    ]
    for event_type in operational_catalogue().types.values():
        parts += _event_type(event_type, level=3)
    return parts


def _event_type(event_type: EventType, level: int = 2) -> Sequence[str]:
    document = dict(event_type.schema)
    rows = [*field_rows(document, document, lambda _: None)]
    example = json.dumps(event_type.example, indent=2, ensure_ascii=False)
    deprecated = "**Deprecated.** " if event_type.deprecated else ""
    return [
        f"{'#' * level} {event_type.name}",
        f"{deprecated}{event_type.description}",
        table(("field of `data`", "type", "required", "meaning"), rows),
        f"```json\n{example}\n```",
    ]


async def _captured(settings: Settings) -> HttpRequest:
    """Return a request as the product makes it."""
    clock, sender = ManualClock(_AT), ScriptedSender()
    event_type = default_catalogue().types["job-completed"]
    event = Event(
        "019ab5c3-7f00-7aa1-8c11-2d6f0b8e4c77",
        _ENVIRONMENT,
        event_type.name,
        _AT - timedelta(seconds=1),
        json.dumps(event_type.example, separators=(",", ":")).encode(),
    )
    webhook = Webhook(_WEBHOOK, _ENVIRONMENT, "CI", _URL, frozenset({event.type}), _AT, _AT)
    fence = Fence(_DELIVERY, _ENVIRONMENT, 1, UUID(int=1))
    identity = webhook.webhook_id, event.event_id, event.type
    maker = AttemptMaker(
        sender,
        SignatureCache(settings.webhooks.signature_headers, CryptographySigner()),
        clock,
        IdGenerator(clock),
        delivery_rules(settings),
        lambda: 0.0,
        NoTracer(),
    )
    key = new_signing_key(_ENVIRONMENT, _AT, _SEED)
    await maker.make(ClaimedDelivery(fence, *identity, 0, body_of(event)), webhook, [key])
    return sender.requests[0]


def _wrapped(head: str) -> str:
    """Return a head with lines that end as a reader's do."""
    return "\n".join(head.splitlines())
