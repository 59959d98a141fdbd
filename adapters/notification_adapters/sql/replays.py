"""Delivering again, on SQL."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from notification_adapters.sql.engine import Database
from notification_adapters.sql.idempotency import KeptAnswers
from notification_adapters.sql.tables import deliveries, events
from notification_core.deliveries import Origin, State
from notification_core.errors import EventGone
from notification_core.history import DeliveryRecord
from notification_core.idempotency import KeptAnswer
from notification_core.ports.replays import ReplayStore


class SqlReplayStore(ReplayStore):
    """Makes further deliveries of the events in a SQL database."""

    def __init__(self, database: Database, answers: KeptAnswers) -> None:
        self._database = database
        self._answers = answers

    async def retry(
        self, delivery: DeliveryRecord, delivery_id: UUID, kept: KeptAnswer | None = None
    ) -> None:
        """Store one more delivery of the same event to the same webhook."""
        whole = sa.select(sa.literal(1)).where(
            events.c.event_id == delivery.event_id,
            events.c.environment_id == delivery.environment_id,
            events.c.body.is_not(None),
        )
        async with self._database.writing() as connection:
            if kept is not None:
                await self._answers.keep(connection, kept)
            if (await connection.execute(whole)).first() is None:
                raise EventGone(delivery.event_id)
            now = await self._database.now(connection)
            again = _again(delivery, delivery_id, Origin.RETRY, now)
            await connection.execute(sa.insert(deliveries).values(again))


def _again(
    delivery: DeliveryRecord, delivery_id: UUID, origin: Origin, now: datetime
) -> Mapping[str, object]:
    """Return the row of one more delivery of an event, due now."""
    return {
        "delivery_id": delivery_id,
        "environment_id": delivery.environment_id,
        "webhook_id": delivery.webhook_id,
        "event_id": delivery.event_id,
        "state": State.PENDING.value,
        "origin": origin.value,
        "due_at": now,
        "attempt": 0,
        "failures": 0,
        "interruptions": 0,
        "created_at": now,
    }
