"""Dead letters that are read again."""

import pytest
from attrs import define, field

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import DeadLetterNotFound, InvalidEvent, StorageUnavailable
from notification_core.ingest.dead_letters import DeadLetterReplay
from notification_core.ingest.ingest import Ingest
from notification_core.model.event import Event
from notification_core.model.message import DeadLetter, Message
from tests.support.faulty_stores import Faults, FaultyDeliveries
from tests.support.observers import RecordingObserver
from tests.support.samples import a_webhook, an_event, an_id


@define
class World:
    """A storage, and a reader that learns to read."""

    storage: MemoryStorage
    letters: DeadLetterReplay
    trouble: Faults
    understood: set[bytes] = field(factory=set)

    async def store(self, *values: bytes) -> None:
        made = [
            DeadLetter(Message("t", 0, number, 0, value), "No event.")
            for number, value in enumerate(values)
        ]
        async with self.storage.deliveries.ingesting() as transaction:
            await transaction.add_dead_letters(made)

    async def left(self) -> list[bytes | None]:
        return [one.dead_letter.message.value async for one in self.letters.all()]


@pytest.fixture
def world() -> World:
    clock, trouble = ManualClock(), Faults()
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids)
    understood: set[bytes] = set()

    def read(message: Message) -> Event:
        if message.value not in understood:
            raise InvalidEvent("It is no event still.")
        return an_event(message.value.decode())

    deliveries = FaultyDeliveries(storage.deliveries, trouble)
    ingest = Ingest(deliveries, clock, ids, RecordingObserver(), None, storage.waking)
    return World(storage, DeadLetterReplay(storage.dead_letters, ingest, read), trouble, understood)


async def test_all_are_listed_from_the_newest_to_the_oldest(world: World) -> None:
    await world.store(*(b"%d" % number for number in range(250)))
    assert await world.left() == [b"%d" % number for number in reversed(range(250))]


async def test_what_is_an_event_now_is_published_and_no_letter_any_more(world: World) -> None:
    await world.storage.webhooks.add(a_webhook(), 1)
    await world.store(b"one", b"two")
    world.understood.add(b"one")
    newest, oldest = [one async for one in world.letters.all()]
    with pytest.raises(InvalidEvent):
        await world.letters.replay(newest.letter_id)
    assert (await world.letters.replay(oldest.letter_id)).event_id == "one"
    assert await world.left() == [b"two"]
    assert [event_id for _, event_id in world.storage.state.events] == ["one"]
    assert len(world.storage.state.deliveries) == 1


async def test_while_storage_is_away_the_letter_stays(world: World) -> None:
    await world.store(b"one")
    world.understood.add(b"one")
    (letter,) = [one async for one in world.letters.all()]
    world.trouble.away = True
    with pytest.raises(StorageUnavailable):
        await world.letters.replay(letter.letter_id)
    assert await world.left() == [b"one"]


async def test_a_replay_that_was_cut_off_is_done_again_without_a_double(world: World) -> None:
    await world.storage.webhooks.add(a_webhook(), 1)
    await world.store(b"one")
    world.understood.add(b"one")
    (letter,) = [one async for one in world.letters.all()]
    world.trouble.lost["ingesting"] = True
    with pytest.raises(StorageUnavailable):
        await world.letters.replay(letter.letter_id)
    await world.letters.replay(letter.letter_id)
    assert await world.left() == []
    assert len(world.storage.state.deliveries) == 1


async def test_an_unknown_letter_is_not_found(world: World) -> None:
    with pytest.raises(DeadLetterNotFound):
        await world.letters.replay(an_id())
