"""Dead letters that are read again."""

import pytest
from attrs import define, field

from notification_core.errors import DeadLetterNotFound, InvalidEvent, StorageUnavailable
from notification_core.ingest.dead_letters import DeadLetterReplay
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
        return [letter.dead_letter.message.value async for letter in self.letters.all()]


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
    assert (await reader.letters.replay(oldest.letter_id)).event_id == "one"
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


async def test_a_replay_that_was_cut_off_is_done_again_without_a_duplicate(
    app: MemoryApp, reader: Reader
) -> None:
    await app.add_webhook()
    await app.add_dead_letters(b"one")
    reader.understood.add(b"one")
    (letter,) = [letter async for letter in reader.letters.all()]
    app.faults.lost["ingesting"] = True
    with pytest.raises(StorageUnavailable):
        await reader.letters.replay(letter.letter_id)
    await reader.letters.replay(letter.letter_id)
    assert await reader.left() == []
    assert len(app.storage.state.deliveries) == 1


async def test_an_unknown_letter_is_not_found(reader: Reader) -> None:
    with pytest.raises(DeadLetterNotFound):
        await reader.letters.replay(an_id())
