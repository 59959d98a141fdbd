"""The outbox on SQL: messages that are written with what they tell of, and read to be sent."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, takewhile
from uuid import UUID

import msgspec
import sqlalchemy as sa
from attrs import asdict
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.installation_tables import outbox, outbox_lease
from notification_adapters.sql.stores import operational_event_rows
from notification_core.concurrency.ids import IdGenerator
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.model.message import DeadLetter, Headers, Topics
from notification_core.model.outbox_message import (
    OperationalEvent,
    OutgoingMessage,
    dead_letter_message,
    operational_event_message,
    published_operational_event,
    reaches_webhooks,
)
from notification_core.ports.outbox import Outbox

_ANYTHING = sa.select(outbox.c.message_id).limit(1)

_encode = msgspec.json.Encoder().encode
_headers = msgspec.json.Decoder(Headers)


class OutboxRows:
    """Writes messages inside the transaction of what they tell of; none if there are no topics.

    Operational events are written for the webhooks of an environment as well, if there is one.
    Events may be given as a generator: it is not looked at where nobody wants to know.
    """

    def __init__(
        self, topics: Topics | None, operational_environment: UUID | None, ids: IdGenerator
    ) -> None:
        self._topics = topics
        self._environment = operational_environment
        self._ids = ids

    async def append(
        self, connection: AsyncConnection, events: Iterable[OperationalEvent], now: datetime
    ) -> None:
        """Write operational events for the platform: of both kinds under the same ids."""
        if not self._topics and not self._environment:
            return
        with_ids = [(event, self._ids()) for event in events]
        if topics := self._topics:
            messages = [operational_event_message(*pair, topics) for pair in with_ids]
            await _add(connection, messages, now)
        if environment_id := self._environment:
            published = [
                published_operational_event(event, event_id, environment_id)
                for event, event_id in with_ids
                if reaches_webhooks(event, environment_id)
            ]
            await operational_event_rows.add(connection, published)

    async def forward(
        self, connection: AsyncConnection, letters: Iterable[DeadLetter], now: datetime
    ) -> None:
        """Pass dead letters on to their topic."""
        if topics := self._topics:
            messages = [dead_letter_message(letter, self._ids(), topics) for letter in letters]
            await _add(connection, messages, now)


class SqlOutbox(Outbox):
    """Gives the messages of a database to one worker at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retry_lost_transaction
    async def acquire(
        self, worker: UUID, lease: timedelta, limit: int, limit_bytes: int
    ) -> Sequence[OutgoingMessage]:
        """Return the oldest messages, and keep the outbox to this worker."""
        # A look through a reader first: where nothing is to be sent, no writer is kept waiting.
        async with self._database.read_transaction() as connection:
            if not (await connection.execute(_ANYTHING)).first():
                return ()
        async with self._database.write_transaction() as connection:
            now = await self._database.dialect.now(connection)
            held = outbox_lease.c
            free = sa.or_(held.worker.is_(None), held.worker == worker, held.leased_until < now)
            take = sa.update(outbox_lease).where(free)
            taken = await connection.execute(take.values(worker=worker, leased_until=now + lease))
            if not taken.rowcount:
                return ()
        async with self._database.read_transaction() as connection:
            in_order = sa.select(outbox.c.message_id, sa.func.length(outbox.c.value))
            sizes = await connection.execute(in_order.order_by(outbox.c.message_id).limit(limit))
            messages = [(message_id, size or 0) for message_id, size in sizes]
            if not messages:
                return ()
            totals = accumulate(size for _, size in messages)
            fitting = sum(1 for _ in takewhile(lambda total: total <= limit_bytes, totals))
            last, _ = messages[max(0, fitting - 1)]
            query = sa.select(outbox).where(outbox.c.message_id <= last)
            return [
                OutgoingMessage(
                    row.message_id, row.topic, row.key, row.value, _headers.decode(row.headers)
                )
                for row in await connection.execute(query.order_by(outbox.c.message_id))
            ]

    @retry_lost_transaction
    async def renew(self, worker: UUID, lease: timedelta) -> None:
        """Keep the outbox to this worker for longer."""
        async with self._database.write_transaction() as connection:
            until = await self._database.dialect.now(connection) + lease
            held = outbox_lease.c.worker == worker
            await connection.execute(sa.update(outbox_lease).where(held).values(leased_until=until))

    @retry_lost_transaction
    async def remove(self, message_ids: Collection[UUID]) -> None:
        """Delete messages that have been sent."""
        if not message_ids:
            return
        async with self._database.write_transaction() as connection:
            await connection.execute(sa.delete(outbox).where(outbox.c.message_id.in_(message_ids)))

    @retry_lost_transaction
    async def release(self, worker: UUID) -> None:
        """Let other workers have the outbox at once."""
        async with self._database.write_transaction() as connection:
            await connection.execute(
                sa.update(outbox_lease)
                .where(outbox_lease.c.worker == worker)
                .values(worker=None, leased_until=None)
            )


async def _add(
    connection: AsyncConnection, messages: Sequence[OutgoingMessage], now: datetime
) -> None:
    rows = [
        {
            **asdict(message, recurse=False),
            "headers": _encode(message.headers).decode(),
            "stored_at": now,
        }
        for message in messages
    ]
    if rows:
        await connection.execute(sa.insert(outbox), rows)
