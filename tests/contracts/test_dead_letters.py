"""What a storage promises about messages that are not events."""

from contextlib import suppress
from datetime import timedelta

import pytest
from attrs import evolve

from notification_core.errors import DeadLetterNotFound
from notification_core.model.event import Arrival
from notification_core.model.message import DeadLetter, Message
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
    page = await harness.storage.dead_letters.page(limit=1000)
    return [one.dead_letter.message.offset for one in page]


@pytest.mark.parametrize("message", [AWKWARD, EMPTY])
async def test_a_dead_letter_is_kept_as_it_came(harness: Harness, message: Message) -> None:
    dead = DeadLetter(message, "“No” event: \N{REPLACEMENT CHARACTER}")
    await store(harness, dead)
    (stored,) = await harness.storage.dead_letters.page(limit=10)
    assert (stored.dead_letter, stored.stored_at) == (dead, harness.clock.now())
    assert await harness.storage.dead_letters.get(stored.letter_id) == stored


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
    found = [one.dead_letter.message.offset for one in (*first, *second, *third)]
    assert found == [4, 3, 2, 1, 0]


async def test_one_that_is_removed_is_gone_and_removing_it_again_is_not_an_error(
    harness: Harness,
) -> None:
    await store(harness, letter(1), letter(2))
    newest, _ = await harness.storage.dead_letters.page(limit=10)
    for _ in range(2):
        await harness.storage.dead_letters.remove(newest.letter_id)
    assert await offsets(harness) == [1]
    with pytest.raises(DeadLetterNotFound):
        await harness.storage.dead_letters.get(newest.letter_id)
