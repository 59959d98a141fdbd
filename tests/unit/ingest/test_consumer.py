"""Consuming: what reaches storage, what is acknowledged when, and what holds up whom."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest

from notification_adapters.memory import (
    ManualClock,
    MemorySource,
    MemoryStorage,
    MemoryTopics,
    memory_storage,
)
from notification_adapters.memory.ingest import MemoryIngest
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import InvalidEvent, StorageUnusable
from notification_core.ingest.consumer import MAX_BYTES_PER_TRANSACTION, EventConsumer
from notification_core.ingest.ingest import Ingest
from notification_core.model.delivery import MAX_DELIVERIES_PER_TRANSACTION
from notification_core.model.event import Event, Source
from notification_core.model.message import Message
from notification_core.ports.event_source import EventSource
from tests.support.faulty_stores import Faults, FaultyDeliveries
from tests.support.observers import RecordingObserver
from tests.support.samples import a_webhook, an_event
from tests.support.waiting import advance_until

TOPIC = "job-events"


def read(message: Message) -> Event:
    """Read a message that says what it is: an event by its id, or one of two kinds of poison."""
    match message.value:
        case None | b"poison":
            raise InvalidEvent("It is poison.")
        case b"bomb":
            raise RecursionError
        case value:
            return an_event(value.decode(errors="replace")[:50])


class Watched(EventSource):
    """A source that tells what was stored when something was acknowledged.

    Its next call of a method in ``errors`` raises the error, which its port does not allow.
    """

    def __init__(self, source: MemorySource, stored: Callable[[], int]) -> None:
        self._source = source
        self._stored = stored
        self.acknowledged: list[tuple[int, int]] = []
        self.errors: dict[str, Exception] = {}

    def _check(self, method: str) -> None:
        if error := self.errors.pop(method, None):
            raise error

    async def take(self) -> Sequence[Message]:
        self._check("take")
        return await self._source.take()

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        self._check("acknowledge")
        self.acknowledged.append((len(messages), self._stored()))
        await self._source.acknowledge(messages)

    def stop(self) -> None:
        self._source.stop()


@attrs.define
class World:
    """A consumer on memory stores, and all around it."""

    clock: ManualClock
    storage: MemoryStorage
    topics: MemoryTopics = attrs.field(factory=MemoryTopics)
    trouble: Faults = attrs.field(factory=Faults)
    notebook: RecordingObserver = attrs.field(factory=RecordingObserver)
    source: Watched = attrs.field(init=False)
    consume: EventConsumer = attrs.field(init=False)

    def send(self, *values: bytes | None) -> None:
        for value in values:
            self.topics.send(TOPIC, value)

    @property
    def events(self) -> Sequence[str]:
        return [event_id for _, event_id in self.storage.state.events]

    @property
    def letters(self) -> Sequence[bytes | None]:
        stored = self.storage.state.dead_letters.values()
        return [one.dead_letter.message.value for one in stored]

    @property
    def committed(self) -> int:
        return self.topics.committed[TOPIC, 0]

    def join(self, read: Callable[[Message], Event] = read) -> None:
        """Consume as a new member of the group from now on."""
        deliveries = FaultyDeliveries(self.storage.deliveries, self.trouble)
        ids, state = IdGenerator(self.clock), self.storage.state
        ingest = Ingest(
            deliveries,
            self.clock,
            ids,
            self.notebook,
            None,
            self.storage.notifier,
            source=Source.KAFKA,
        )
        self.source = Watched(
            self.topics.join(), lambda: len(state.events) + len(state.dead_letters)
        )
        self.consume = EventConsumer(
            source=self.source,
            ingest=ingest,
            read=read,
            clock=self.clock,
            observer=self.notebook,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume for the length of the block."""
        task = asyncio.create_task(self.consume.run())
        try:
            yield
            self.consume.stop()
            await task
        finally:
            task.cancel()

    async def until(self, condition: Callable[[], object]) -> None:
        """Return once a condition holds, without letting time pass."""
        await advance_until(condition, self.clock)


@pytest.fixture
def world() -> World:
    clock = ManualClock()
    storage = memory_storage(clock, IdGenerator(clock))
    world = World(clock, storage)
    world.join()
    return world


async def test_events_are_stored_and_only_then_acknowledged(world: World) -> None:
    world.send(b"1", b"2", b"3")
    async with world.running():
        await world.until(lambda: world.committed == 3)
    assert world.events == ["1", "2", "3"]
    assert world.source.acknowledged == [(3, 3)]
    assert (world.notebook.sources, world.notebook.new) == ({Source.KAFKA}, 3)


async def test_what_cannot_be_read_becomes_a_dead_letter_and_its_neighbours_are_events(
    world: World,
) -> None:
    world.send(b"1", b"poison", None, b"2", b"bomb", b"3")
    async with world.running():
        await world.until(lambda: world.committed == 6)
    assert world.events == ["1", "2", "3"]
    assert world.letters == [b"poison", None, b"bomb"]
    assert [letter.message.offset for letter in world.notebook.dead_letters] == [1, 2, 4]
    assert world.notebook.dead_letters[0].reason == "It is poison."


async def test_other_tasks_run_while_many_large_messages_are_read(world: World) -> None:
    turns: list[int] = []
    values = [b"%d" % number + b"x" * 300_000 for number in range(4)]

    async def count() -> None:
        while True:
            turns.append(len(reading))
            await asyncio.sleep(0)

    reading: list[Message] = []

    def slow(message: Message) -> Event:
        reading.append(message)
        return read(message)

    world.join(slow)
    world.send(*values)
    counting = asyncio.create_task(count())
    async with world.running():
        await world.until(lambda: world.committed == len(values))
    counting.cancel()
    assert set(turns) >= {1, 2, 3, 4}


async def test_poison_alone_is_acknowledged_too(world: World) -> None:
    world.send(b"poison")
    async with world.running():
        await world.until(lambda: world.committed == 1)
    assert world.letters == [b"poison"]


async def test_a_dead_letter_that_is_read_again_is_not_stored_again(world: World) -> None:
    world.send(b"poison", b"1")
    async with world.running():
        await world.until(lambda: world.committed == 2)
    world.topics.committed.clear()
    world.join()
    async with world.running():
        await world.until(lambda: world.committed == 2)
    assert (world.letters, world.events) == ([b"poison"], ["1"])
    assert world.notebook.doubles == 1


async def test_while_storage_is_away_nothing_is_acknowledged_and_then_all_is_stored(
    world: World,
) -> None:
    world.trouble.away = True
    world.send(b"1", b"poison")
    async with world.running():
        await world.until(lambda: world.clock.sleeping)
        await world.clock.advance(60)
        assert (world.committed, world.source.acknowledged) == (0, [])
        world.trouble.away = False
        await world.clock.advance(1)
        await world.until(lambda: world.committed == 2)
    assert (world.events, world.letters) == (["1"], [b"poison"])


async def test_a_storage_that_cannot_be_used_is_tried_again_like_one_that_is_away(
    world: World,
) -> None:
    world.trouble.errors["ingesting"] = StorageUnusable("It is corrupt.")
    world.send(b"1")
    async with world.running():
        await world.until(lambda: world.clock.sleeping)
        world.trouble.errors.clear()
        await world.clock.advance(1)
        await world.until(lambda: world.committed == 1)
    assert not world.letters


@pytest.mark.parametrize("method", ["take", "acknowledge"])
async def test_an_unexpected_error_is_told_and_consuming_goes_on_without_a_loss(
    world: World, method: str
) -> None:
    world.source.errors[method] = RuntimeError("a defect")
    world.send(b"1", b"2")
    async with world.running():
        await world.until(lambda: world.clock.sleeping)
        assert world.notebook.errors == [("consume", "RuntimeError")]
        world.send(b"3")
        await world.clock.advance(1)
        await world.until(lambda: world.committed == 3)
    assert world.events == ["1", "2", "3"]


async def test_an_unexpected_error_between_two_transactions_skips_no_message(world: World) -> None:
    half = MAX_BYTES_PER_TRANSACTION // 2 + 1
    world.source.errors["acknowledge"] = RuntimeError("a defect")
    world.send(b"1" * half, b"2" * half)
    async with world.running():
        await world.until(lambda: world.clock.sleeping)
        await world.clock.advance(1)
        await world.until(lambda: world.committed == 2)
    assert len(world.events) == 2


@pytest.mark.parametrize("happened", [True, False])
async def test_after_a_commit_of_unknown_outcome_each_event_is_there_once(
    world: World,
    happened: bool,  # noqa: FBT001 - a parameter
) -> None:
    await world.storage.webhooks.add(a_webhook(), 1)
    world.trouble.lost["ingesting"] = happened
    world.send(b"1", b"poison")
    async with world.running():
        await world.until(lambda: world.clock.sleeping)
        await world.clock.advance(1)
        await world.until(lambda: world.committed == 2)
    assert (world.events, world.letters) == (["1"], [b"poison"])
    assert len(world.storage.state.deliveries) == 1


async def test_told_to_stop_while_storage_is_away_it_leaves_what_is_in_hand(world: World) -> None:
    world.trouble.away = True
    world.send(b"1")
    task = asyncio.create_task(world.consume.run())
    await world.until(lambda: world.clock.sleeping)
    world.consume.stop()
    await world.clock.advance(1)
    await task
    assert world.committed == 0


async def test_told_to_stop_it_stores_and_acknowledges_what_is_in_hand(world: World) -> None:
    gate = world.trouble.gates["ingesting"] = asyncio.Event()
    world.send(b"1")
    task = asyncio.create_task(world.consume.run())
    await world.until(world.storage.state.writing.locked)
    world.consume.stop()
    gate.set()
    await task
    assert (world.events, world.committed) == (["1"], 1)


async def test_a_batch_that_fans_out_too_far_is_cut_where_it_fits(world: World) -> None:
    webhooks = [a_webhook() for _ in range(MAX_DELIVERIES_PER_TRANSACTION // 3)]
    world.storage.state.webhooks.update({one.webhook_id: one for one in webhooks})
    world.send(b"1", b"1", b"poison", b"2", b"3", b"poison", b"4")
    async with world.running():
        await world.until(lambda: world.committed == 7)
    assert world.source.acknowledged == [(6, 5), (1, 6)]
    assert len(world.storage.state.deliveries) == 4 * len(webhooks)


async def test_an_event_that_alone_fans_out_too_far_holds_nobody_up(world: World) -> None:
    webhooks = [a_webhook() for _ in range(MAX_DELIVERIES_PER_TRANSACTION + 1)]
    world.storage.state.webhooks.update({one.webhook_id: one for one in webhooks})
    world.send(b"poison", b"1", b"poison")
    async with world.running():
        await world.until(lambda: world.committed == 3)
    assert world.letters == [b"poison", b"1", b"poison"]
    assert "TooManyDeliveries" in world.notebook.dead_letters[1].reason


async def test_a_batch_of_many_bytes_goes_into_several_transactions(world: World) -> None:
    third = MAX_BYTES_PER_TRANSACTION // 3
    world.send(b"1" * third, b"2" * third, b"3" * third, b"4" * MAX_BYTES_PER_TRANSACTION, b"5")
    async with world.running():
        await world.until(lambda: world.committed == 5)
    assert [count for count, _ in world.source.acknowledged] == [3, 1, 1]


async def test_what_storage_refuses_for_good_becomes_a_dead_letter_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = MemoryIngest.add_events

    async def refuse(self: MemoryIngest, events: Sequence[object]) -> object:
        if any("evil" in str(one) for one in events):
            raise ZeroDivisionError("It cannot be written.")
        return await add(self, events)  # type: ignore[arg-type]  # the port says what they are

    monkeypatch.setattr(MemoryIngest, "add_events", refuse)
    world.send(b"1", b"2", b"evil", b"3", b"poison", b"4")
    async with world.running():
        await world.until(lambda: world.committed == 6)
    assert world.events == ["1", "2", "3", "4"]
    assert world.letters == [b"evil", b"poison"]
    assert "ZeroDivisionError: It cannot be written." in world.notebook.dead_letters[0].reason


async def test_a_dead_letter_that_cannot_be_written_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(MemoryIngest, "add_dead_letters", refuse)
        world.send(b"poison", b"1")
        task = asyncio.create_task(world.consume.run())
        await world.until(lambda: world.clock.sleeping)
    await world.clock.advance(1)
    await world.until(lambda: world.committed == 2)
    world.consume.stop()
    await task
    assert (world.letters, world.events) == ([b"poison"], ["1"])
