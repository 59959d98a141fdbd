"""Dead letters that are read again."""

import asyncio

import pytest
from attrs import define, field

from notification_core.errors import (
    DeadLetterNotFound,
    EnvironmentBeingErased,
    InvalidEvent,
    StorageUnavailable,
    UnknownCommit,
)
from notification_core.ingest.dead_letters import DeadLetterReplay, ReplayedLetter
from notification_core.model.event import Event
from notification_core.model.message import Message
from tests.support.assembly import MemoryApp
from tests.support.samples import an_event, an_id


@define
class Reader:
    """Dead letters, and a reader that learns to read them."""

    app: MemoryApp
    understood: set[bytes] = field(factory=set)
    letters: DeadLetterReplay = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.letters = self.app.dead_letters(self.read)

    def read(self, message: Message) -> Event:
        if message.value not in self.understood:
            raise InvalidEvent("It is still not an event.")
        return an_event(message.value.decode())

    async def left(self) -> list[bytes | None]:
        listed = [letter.letter_id async for letter in self.letters.all()]
        stored = [await self.letters.get(letter_id) for letter_id in listed]
        return [letter.dead_letter.message.value for letter in stored]


@pytest.fixture
def reader(app: MemoryApp) -> Reader:
    return Reader(app)


async def test_all_are_listed_from_the_newest_to_the_oldest(app: MemoryApp, reader: Reader) -> None:
    await app.add_dead_letters(*(b"%d" % number for number in range(250)))
    assert await reader.left() == [b"%d" % number for number in reversed(range(250))]


async def test_what_is_an_event_now_is_published_and_no_letter_any_more(
    app: MemoryApp, reader: Reader
) -> None:
    await app.add_webhook()
    await app.add_dead_letters(b"one", b"two")
    reader.understood.add(b"one")
    newest, oldest = [letter async for letter in reader.letters.all()]
    with pytest.raises(InvalidEvent):
        await reader.letters.replay(newest.letter_id)
    replayed = await reader.letters.replay(oldest.letter_id)
    assert (replayed.event.event_id, replayed.duplicate) == ("one", False)
    assert await reader.left() == [b"two"]
    assert [event_id for _, event_id in app.storage.state.events] == ["one"]
    assert len(app.storage.state.deliveries) == 1


async def test_while_storage_is_unavailable_the_letter_stays(
    app: MemoryApp, reader: Reader
) -> None:
    await app.add_dead_letters(b"one")
    reader.understood.add(b"one")
    (letter,) = [letter async for letter in reader.letters.all()]
    app.faults.unreachable = True
    with pytest.raises(StorageUnavailable):
        await reader.letters.replay(letter.letter_id)
    assert await reader.left() == [b"one"]


async def test_a_replay_whose_commit_is_not_answered_is_done_once(
    app: MemoryApp, reader: Reader
) -> None:
    await app.add_webhook()
    await app.add_dead_letters(b"one")
    reader.understood.add(b"one")
    (letter,) = [letter async for letter in reader.letters.all()]
    app.faults.lost["ingesting"] = True
    with pytest.raises(UnknownCommit):
        await reader.letters.replay(letter.letter_id)
    with pytest.raises(DeadLetterNotFound):
        await reader.letters.replay(letter.letter_id)
    assert await reader.left() == []
    assert len(app.storage.state.deliveries) == 1


async def test_an_event_that_is_known_already_is_a_duplicate_and_the_letter_gone(
    app: MemoryApp, reader: Reader
) -> None:
    await app.add_webhook()
    await app.ingest.publish([an_event("one")])
    await app.add_dead_letters(b"one")
    reader.understood.add(b"one")
    (letter,) = [letter async for letter in reader.letters.all()]
    assert (await reader.letters.replay(letter.letter_id)).duplicate
    assert await reader.left() == []
    assert len(app.storage.state.deliveries) == 1


async def test_two_replays_at_once_publish_the_event_once(app: MemoryApp, reader: Reader) -> None:
    await app.add_webhook()
    await app.add_dead_letters(b"one")
    reader.understood.add(b"one")
    (letter,) = [letter async for letter in reader.letters.all()]
    replays = [reader.letters.replay(letter.letter_id) for _ in range(2)]
    results = await asyncio.gather(*replays, return_exceptions=True)
    kinds = {type(result) for result in results}
    assert kinds == {ReplayedLetter, DeadLetterNotFound}
    assert len(app.storage.state.deliveries) == 1


async def test_while_its_environment_is_being_erased_the_letter_stays(
    app: MemoryApp, reader: Reader
) -> None:
    await app.add_dead_letters(b"one")
    reader.understood.add(b"one")
    (letter,) = [letter async for letter in reader.letters.all()]
    await app.storage.erasures.begin(an_event().environment_id, app.clock.now())
    with pytest.raises(EnvironmentBeingErased):
        await reader.letters.replay(letter.letter_id)
    assert await reader.left() == [b"one"]
    assert not app.storage.state.events


async def test_data_that_does_not_fit_is_told_of_and_counted(
    app: MemoryApp, reader: Reader
) -> None:
    await app.add_dead_letters(b"one")
    reader.understood.add(b"one")
    (letter,) = [letter async for letter in reader.letters.all()]
    replayed = await reader.letters.replay(letter.letter_id)
    assert replayed.misfits
    assert app.mismatched_types == [replayed.event.type]


async def test_data_that_is_rejected_leaves_the_letter(app: MemoryApp) -> None:
    app.rejects = True
    reader = Reader(app)
    await app.add_dead_letters(b"one")
    reader.understood.add(b"one")
    (letter,) = [letter async for letter in reader.letters.all()]
    with pytest.raises(InvalidEvent, match="does not fit"):
        await reader.letters.replay(letter.letter_id)
    assert await reader.left() == [b"one"]


async def test_an_unknown_letter_is_not_found(reader: Reader) -> None:
    with pytest.raises(DeadLetterNotFound):
        await reader.letters.replay(an_id())
