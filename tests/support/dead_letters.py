"""Dead letters in a storage, without Kafka."""

from uuid import UUID

import sqlalchemy as sa
from attrs import evolve

from notification_adapters.memory.storage import MemoryStorage
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.installation_tables import dead_letters
from notification_core.model.message import DeadLetter, Message
from notification_core.ports.storage import Storage

OPERATORS_EVENT = "replayed-by-an-operator"


def an_event_by_now(environment_id: object, event_id: str = OPERATORS_EVENT) -> bytes:
    """Return the value of a message that may have been unreadable once, and is an event now."""
    text = (
        f'{{"event_id":"{event_id}","event":"job-completed","environment_id":"{environment_id}",'
        '"data":{"job_id":"c2f1b7de-40a8-4f3b-8f6f-5b8e6d1a9b21",'
        '"pipeline_id":"7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10","status":"succeeded"}}'
    )
    return text.encode()


def a_dead_letter(
    value: bytes | None, offset: int = 0, reason: str = "It was not an event."
) -> DeadLetter:
    """Return a dead letter with this value at an offset of a topic."""
    headers = (("traceparent", b"00"), ("raw", b"\xff"), ("none", None))
    return DeadLetter(
        Message("job-events", 3, offset, 1764063062000, value, b"job-7", headers), reason
    )


async def bury(storage: Storage, *letters: DeadLetter) -> list[UUID]:
    """Store dead letters; return the ids of those that are there now, the newest first."""
    async with storage.deliveries.ingesting() as transaction:
        await transaction.add_dead_letters(letters)
    return [each.letter_id for each in await storage.dead_letters.page(1000)]


async def bury_as(storage: Storage, letter_id: UUID, letter: DeadLetter) -> None:
    """Store a dead letter under an id that somebody speaks of."""
    given = (await bury(storage, letter))[0]
    match storage:
        case MemoryStorage():
            letters = storage.state.dead_letters
            letters[letter_id] = evolve(letters.pop(given), letter_id=letter_id)
        case SqlStorage():
            renamed = sa.update(dead_letters).where(dead_letters.c.letter_id == given)
            async with storage.database.write_transaction() as connection:
                await connection.execute(renamed.values(letter_id=letter_id))
        case _:
            raise AssertionError(storage)
