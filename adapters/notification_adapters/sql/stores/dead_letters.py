"""Dead letters on SQL. They are few: plain statements do."""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
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
from notification_core.ports.dead_letters import DeadLetters, DeadLetterSummary, StoredDeadLetter

_encode = msgspec.json.Encoder().encode
_headers = msgspec.json.Decoder(Headers)

_l = dead_letters.c
# Of the bytes only how many there are: neither engine reads a long column for that.
_SUMMARIES = sa.select(
    _l.letter_id,
    _l.stored_at,
    _l.topic,
    _l.topic_partition.label("partition"),
    _l.topic_offset.label("offset"),
    _l.reason,
    sa.func.length(_l.key).label("key_size"),
    sa.func.length(_l.value).label("value_size"),
).order_by(_l.letter_id.desc())


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
        new = set(await insert_those_missing(connection, dead_letters, rows, _l.message_id))
        passed_on = (letter for message_id, letter in by_id.items() if message_id in new)
        await self._outbox.forward(connection, passed_on, now)
        return len(new)

    async def remove(self, connection: AsyncConnection, letter_id: UUID) -> None:
        """Delete a dead letter; raise :class:`DeadLetterNotFound`."""
        gone = sa.delete(dead_letters).where(_l.letter_id == letter_id)
        if not (await connection.execute(gone)).rowcount:
            raise DeadLetterNotFound(letter_id)


class SqlDeadLetters(DeadLetters):
    """Reads dead letters from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[DeadLetterSummary]:
        """Return dead letters by falling ``letter_id``, those below ``before`` only."""
        query = _SUMMARIES.limit(limit)
        if before is not None:
            query = query.where(_l.letter_id < before)
        async with self._database.query() as connection:
            return [
                DeadLetterSummary(**row) for row in (await connection.execute(query)).mappings()
            ]

    async def get(self, letter_id: UUID) -> StoredDeadLetter:
        """Return one dead letter."""
        query = sa.select(dead_letters).where(_l.letter_id == letter_id)
        async with self._database.query() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise DeadLetterNotFound(letter_id)
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
