"""Dead letters on SQL. They are few: plain statements do."""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.installation_tables import dead_letters
from notification_adapters.sql.stores.outbox import OutboxRows
from notification_adapters.sql.upsert import insert_those_missing
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import DeadLetterNotFound
from notification_core.model.message import DeadLetter, Headers, Message, identity_of
from notification_core.ports.dead_letters import DeadLetters, StoredDeadLetter

_encode = msgspec.json.Encoder().encode
_headers = msgspec.json.Decoder(Headers)


class DeadLetterRows:
    """Writes dead letters inside the transaction of the events beside which they came."""

    def __init__(self, outbox: OutboxRows, ids: IdGenerator) -> None:
        self._outbox = outbox
        self._ids = ids

    async def add(
        self, connection: AsyncConnection, letters: Sequence[DeadLetter], now: datetime
    ) -> int:
        """Insert the dead letters that are new, pass these on to their topic; return how many."""
        by_id = {identity_of(letter.message): letter for letter in letters}
        rows = [
            {
                "letter_id": self._ids(),
                "message_id": message_id,
                "reason": letter.reason,
                "topic": letter.message.topic,
                "topic_partition": letter.message.partition,
                "topic_offset": letter.message.offset,
                "timestamp_ms": letter.message.timestamp,
                "key": letter.message.key,
                "value": letter.message.value,
                "headers": _encode(letter.message.headers).decode(),
                "stored_at": now,
            }
            for message_id, letter in sorted(by_id.items(), key=itemgetter(0))
        ]
        key = dead_letters.c.message_id
        new = set(await insert_those_missing(connection, dead_letters, rows, key))
        passed_on = (letter for message_id, letter in by_id.items() if message_id in new)
        await self._outbox.forward(connection, passed_on, now)
        return len(new)


class SqlDeadLetters(DeadLetters):
    """Reads dead letters from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[StoredDeadLetter]:
        """Return dead letters by falling ``letter_id``, those below ``before`` only."""
        newest_first = sa.select(dead_letters).order_by(dead_letters.c.letter_id.desc())
        query = newest_first.limit(limit)
        if before is not None:
            query = query.where(dead_letters.c.letter_id < before)
        async with self._database.query() as connection:
            return [_stored(row) for row in await connection.execute(query)]

    async def get(self, letter_id: UUID) -> StoredDeadLetter:
        """Return one dead letter."""
        query = sa.select(dead_letters).where(dead_letters.c.letter_id == letter_id)
        async with self._database.query() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise DeadLetterNotFound(letter_id)
        return _stored(row)

    async def remove(self, letter_id: UUID) -> None:
        """Delete a dead letter."""
        gone = sa.delete(dead_letters).where(dead_letters.c.letter_id == letter_id)
        async with self._database.write_transaction() as connection:
            await connection.execute(gone)


def _stored(row: sa.Row[Any]) -> StoredDeadLetter:
    message = Message(
        topic=row.topic,
        partition=row.topic_partition,
        offset=row.topic_offset,
        timestamp=row.timestamp_ms,
        value=row.value,
        key=row.key,
        headers=_headers.decode(row.headers),
    )
    return StoredDeadLetter(row.letter_id, row.stored_at, DeadLetter(message, row.reason))
