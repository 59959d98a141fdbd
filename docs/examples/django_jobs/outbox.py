"""A transactional outbox: events are rows of your transaction, and a task publishes them."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.db import transaction

from django_jobs.models import OutboxEvent
from notification_client import ApiUnavailable, NewEvent, NotificationClient

_BATCH = 500


def publish(event: str, data: Mapping[str, Any]) -> None:
    """Publish an event if and only if the transaction that is open commits."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("Publish within transaction.atomic().")
    OutboxEvent.objects.create(event=event, data=data)
    # If the broker is unavailable, the event is sent by the schedule.
    transaction.on_commit(send_outbox.delay, robust=True)


@shared_task(autoretry_for=(ApiUnavailable,), retry_backoff=True)
def send_outbox() -> None:
    """Publish what is in the outbox, oldest first.

    A row is deleted after its event was acknowledged. If this is interrupted in between, or runs
    twice at a time, the same event ids are published again, and the API ignores them.
    """
    while rows := list(OutboxEvent.objects.order_by("occurred_at")[:_BATCH]):
        asyncio.run(_publish(rows))
        OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]).delete()


async def _publish(rows: Sequence[OutboxEvent]) -> None:
    url, key = settings.NOTIFICATION_API_URL, settings.NOTIFICATION_API_KEY
    events = [
        NewEvent(row.event, row.data, event_id=str(row.event_id), occurred_at=row.occurred_at)
        for row in rows
    ]
    async with NotificationClient(url, api_key=key, retry_for=timedelta(seconds=5)) as client:
        await client.publish(UUID(settings.NOTIFICATION_ENVIRONMENT), events)
