"""What a storage promises about messages that are not events."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.errors import DeadLetterNotFound
from notification_core.model.event import Arrival
from notification_core.model.message import DeadLetter, Message
from notification_core.ports.dead_letters import DeadLetterSummary
from tests.contracts.harness import Harness

AWKWARD = Message(
    "job-events",
    2**31 - 1,
    2**63 - 1,
    -(2**63),
    b"\x00\xff{",
    b"",
    (("a", b"\xff"), ("é", None), ("a", b"")),
)
EMPTY = Message("t", 0, 0, 0, None)


def letter(offset: int) -> DeadLetter:
    return DeadLetter(evolve(EMPTY, offset=offset), f"reason {offset}")


async def store(harness: Harness, *letters: DeadLetter) -> None:
    async with harness.storage.deliveries.ingesting() as transaction:
        await transaction.add_dead_letters(letters)


async def offsets(harness: Harness) -> list[int]:
    return [one.offset for one in await harness.storage.dead_letters.page(limit=1000)]


async def remove(harness: Harness, letter_id: UUID, event_id: str) -> None:
    """Delete a dead letter in the transaction of its event."""
    async with harness.storage.deliveries.ingesting() as transaction:
        await transaction.add_events([harness.event(event_id)])
        await transaction.remove_dead_letter(letter_id)


@pytest.mark.parametrize("message", [AWKWARD, EMPTY])
async def test_a_dead_letter_is_kept_as_it_came(harness: Harness, message: Message) -> None:
    dead = DeadLetter(message, "“No” event: \N{REPLACEMENT CHARACTER}")
    await store(harness, dead)
    (listed,) = await harness.storage.dead_letters.page(limit=10)
    stored = await harness.storage.dead_letters.get(listed.letter_id)
    assert (stored.dead_letter, stored.stored_at) == (dead, harness.clock.now())
    assert listed == DeadLetterSummary(
        letter_id=stored.letter_id,
        stored_at=stored.stored_at,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        reason=dead.reason,
        key_size=None if message.key is None else len(message.key),
        value_size=None if message.value is None else len(message.value),
    )


async def test_one_that_is_read_again_is_kept_once(harness: Harness) -> None:
    await store(harness, letter(1), letter(2))
    await store(harness, letter(2), letter(3))
    assert await offsets(harness) == [3, 2, 1]


async def test_it_is_stored_with_the_events_beside_it_or_not_at_all(harness: Harness) -> None:
    event = harness.event("e-1")
    with suppress(ZeroDivisionError):
        async with harness.storage.deliveries.ingesting() as transaction:
            await transaction.add_events([event])
            await transaction.add_dead_letters([letter(1)])
            raise ZeroDivisionError
    assert await offsets(harness) == []
    async with harness.storage.deliveries.ingesting() as transaction:
        assert set((await transaction.add_events([event])).values()) == {Arrival.NEW}
        await transaction.add_dead_letters([letter(1)])
    assert await offsets(harness) == [1]


async def test_pages_go_from_the_newest_to_the_oldest(harness: Harness) -> None:
    for number in range(5):
        await store(harness, letter(number))
        harness.clock.jump(timedelta(seconds=1))
    first = await harness.storage.dead_letters.page(limit=2)
    second = await harness.storage.dead_letters.page(limit=2, before=first[-1].letter_id)
    third = await harness.storage.dead_letters.page(limit=2, before=second[-1].letter_id)
    assert [one.offset for one in (*first, *second, *third)] == [4, 3, 2, 1, 0]


async def test_one_whose_event_is_stored_is_gone_with_that(harness: Harness) -> None:
    await store(harness, letter(1), letter(2))
    newest, _ = await harness.storage.dead_letters.page(limit=10)
    await remove(harness, newest.letter_id, "e-1")
    assert await offsets(harness) == [1]
    with pytest.raises(DeadLetterNotFound):
        await harness.storage.dead_letters.get(newest.letter_id)


async def test_one_that_is_gone_cannot_become_an_event_once_more(harness: Harness) -> None:
    await store(harness, letter(1))
    (only,) = await harness.storage.dead_letters.page(limit=10)
    await remove(harness, only.letter_id, "e-1")
    with pytest.raises(DeadLetterNotFound):
        await remove(harness, only.letter_id, "e-2")
    key = harness.event("e-2").event.key
    assert key not in await harness.storage.history.known_events([key])


async def test_of_two_that_take_the_same_one_at_once_one_succeeds(harness: Harness) -> None:
    await store(harness, letter(1))
    (only,) = await harness.storage.dead_letters.page(limit=10)
    results = await asyncio.gather(
        *(remove(harness, only.letter_id, f"e-{number}") for number in range(2)),
        return_exceptions=True,
    )
    assert [type(result) for result in results if result] == [DeadLetterNotFound]
    keys = [harness.event(f"e-{number}").event.key for number in range(2)]
    assert len(await harness.storage.history.known_events(keys)) == 1


async def test_one_stays_if_the_transaction_of_its_event_fails(harness: Harness) -> None:
    await store(harness, letter(1))
    (only,) = await harness.storage.dead_letters.page(limit=10)
    with suppress(ZeroDivisionError):
        async with harness.storage.deliveries.ingesting() as transaction:
            await transaction.remove_dead_letter(only.letter_id)
            raise ZeroDivisionError
    assert await offsets(harness) == [1]
