"""The public API as its users' type checkers see it. Only mypy reads this file; nothing runs it.

An assignment to a name with a type says "this much stays possible"; a ``type: ignore`` with a code
says "this stays refused", since mypy, being strict, calls an ignore that is not needed an error.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

import notification_core
from notification_adapters.memory import ManualClock, ScriptedSender, memory_storage
from notification_core import verify_request, verify_signature, verify_standard_webhook
from notification_entrypoints.embedded import (
    AdapterOverrides,
    Notifications,
    WebhookDraft,
    migrate,
    open_notifications,
    settings,
)


class VerifyRequest(Protocol):
    """How a receiver verifies a request as it came, by any scheme that its keys are for."""

    def __call__(  # noqa: PLR0913 (the function that it describes says why)
        self,
        body: bytes,
        headers: Mapping[str, str] | list[tuple[str, str]] | tuple[tuple[bytes, bytes], ...],
        keys: str | list[str] | tuple[bytes, ...],
        *,
        now: datetime,
        tolerance: timedelta = ...,
        signature_header: str = ...,
        timestamp_header: str = ...,
    ) -> None: ...


class VerifySignature(Protocol):
    """How a receiver verifies our own scheme; a header that is missing is None."""

    def __call__(  # noqa: PLR0913 (the function that it describes says why)
        self,
        body: bytes,
        signature: str | None,
        timestamp: str | None,
        public_keys: str | list[str] | tuple[bytes, ...],
        *,
        now: datetime,
        tolerance: timedelta = ...,
    ) -> None: ...


class VerifyStandardWebhook(Protocol):
    """How a receiver verifies Standard Webhooks; headers are any mapping of strings."""

    def __call__(
        self,
        body: bytes,
        headers: Mapping[str, str],
        public_keys: str | list[str] | tuple[bytes, ...],
        *,
        now: datetime,
        tolerance: timedelta = ...,
    ) -> None: ...


either_scheme: VerifyRequest = verify_request
own_scheme: VerifySignature = verify_signature
standard_webhooks: VerifyStandardWebhook = verify_standard_webhook

errors: type[Exception] = notification_core.NotificationError
not_verified: type[notification_core.NotificationError] = notification_core.InvalidSignature
values: type[ValueError] = notification_core.InvalidSignature


def stays_refused(now: datetime) -> None:
    """Call it wrong in the ways that a user would."""
    verify_request("{}", {}, "key", now=now)  # type: ignore[arg-type] # text, not bytes
    verify_signature("{}", "ab", "1700000000", "key", now=now)  # type: ignore[arg-type] # text, not bytes
    verify_signature(b"{}", "ab", "1700000000", "key", now)  # type: ignore[call-arg] # now by position
    verify_signature(b"{}", "ab", "1700000000", "key")  # type: ignore[call-arg] # no now
    verify_standard_webhook(b"{}", {}, "key", now=0)  # type: ignore[arg-type] # a number for now


async def stays_possible(environment_id: UUID, connection: AsyncConnection) -> None:
    """Embed it in the ways that a host would."""
    clock = ManualClock()
    chosen = settings(DB_URI="sqlite:///file", DB_ENCRYPTION_SECRET="x" * 32)
    await migrate(chosen)
    given = AdapterOverrides(clock=clock, storage=memory_storage(clock), sender=ScriptedSender())
    async with open_notifications(chosen, given) as notifications:
        opened: Notifications = notifications
    draft = WebhookDraft(name="a", url="https://example.com/", events=["job-completed"])
    webhook_id: UUID = (await opened.webhooks.create(environment_id, draft)).webhook_id
    event = opened.event(environment_id, "job-completed", {"a": 1}, event_id=str(webhook_id))
    (published,) = await opened.publish([event], connection=connection)
    told: tuple[str, bool] = published.event_id, published.duplicate
    await opened.publish(event)  # type: ignore[arg-type] # one event, not several
    await opened.publish([event], connection)  # type: ignore[call-arg] # by position
    settings(DB_POOL_SIZE=10)  # type: ignore[arg-type] # a variable is text
    assert told
