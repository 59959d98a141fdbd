"""Dead letters on SQL. They are few: plain statements do."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.stores.outbox import OutboxRows
from notification_adapters.sql.tables import dead_letters
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
        rows = [self._columns(one, by_id[one], now) for one in sorted(by_id)]
        key = dead_letters.c.message_id
        new = set(await insert_those_missing(connection, dead_letters, rows, key))
        passed_on = (letter for one, letter in by_id.items() if one in new)
        await self._outbox.forward(connection, passed_on, now)
        return len(new)

    def _columns(self, message_id: UUID, letter: DeadLetter, now: datetime) -> Mapping[str, object]:
        message = letter.message
        return {
            "letter_id": self._ids(),
            "message_id": message_id,
            "reason": letter.reason,
            "topic": message.topic,
            "topic_partition": message.partition,
            "topic_offset": message.offset,
            "timestamp_ms": message.timestamp,
            "key": message.key,
            "value": message.value,
            "headers": _encode(message.headers).decode(),
            "stored_at": now,
        }


class SqlDeadLetters(DeadLetters):
    """Reads dead letters from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[StoredDeadLetter]:
        """Return dead letters by falling ``letter_id``, those below ``before`` only."""
        newest_first = sa.select(dead_letters).order_by(dead_letters.c.letter_id.desc())
        wanted = newest_first.limit(limit)
        if before is not None:
            wanted = wanted.where(dead_letters.c.letter_id < before)
        async with self._database.query() as connection:
            return [_stored(row) for row in await connection.execute(wanted)]

    async def get(self, letter_id: UUID) -> StoredDeadLetter:
        """Return one dead letter."""
        wanted = sa.select(dead_letters).where(dead_letters.c.letter_id == letter_id)
        async with self._database.query() as connection:
            row = (await connection.execute(wanted)).one_or_none()
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
