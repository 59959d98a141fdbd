"""Relaying: in order, at least once, by one worker, whatever fails."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import define, field

from notification_adapters.memory import ManualClock, MemorySink, MemoryStorage, memory_storage
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import BrokersUnavailable, StorageUnavailable
from notification_core.maintenance.outbox_relay import OutboxRelay
from notification_core.model.message import DeadLetter, Message
from notification_core.model.outbox_message import OutgoingMessage
from notification_core.model.topics import Topics
from notification_core.ports.outbox import Outbox
from tests.support.observers import RecordingObserver
from tests.support.samples import an_id
from tests.support.waiting import advance_until

POLL = timedelta(seconds=1)


class Failing(MemorySink):
    """A sink that may be away, or lose the answer to what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.answers_get_lost = False
        self.gate: asyncio.Event | None = None

    async def send(self, messages: Sequence[OutgoingMessage]) -> int:
        if self.gate:
            await self.gate.wait()
        if self.away:
            raise BrokersUnavailable("It is away.")
        sent = await super().send(messages)
        if self.answers_get_lost:
            raise BrokersUnavailable("Nobody answers.")
        return sent


@define
class TroubledOutbox(Outbox):
    """The outbox of a storage that may be unreachable when it is released."""

    outbox: Outbox
    is_unreachable: bool = False

    async def acquire(
        self, worker: UUID, lease: timedelta, limit: int, limit_bytes: int
    ) -> Sequence[OutgoingMessage]:
        return await self.outbox.acquire(worker, lease, limit, limit_bytes)

    async def renew(self, worker: UUID, lease: timedelta) -> None:
        await self.outbox.renew(worker, lease)

    async def remove(self, message_ids: Collection[UUID]) -> None:
        await self.outbox.remove(message_ids)

    async def release(self, worker: UUID) -> None:
        if self.is_unreachable:
            raise StorageUnavailable("The database cannot be reached.")
        await self.outbox.release(worker)


@define
class World:
    """A relay, and both of its ends."""

    clock: ManualClock
    storage: MemoryStorage
    notebook: RecordingObserver = field(factory=RecordingObserver)
    sink: Failing = field(factory=Failing)
    offset: int = 0
    outbox: TroubledOutbox = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outbox = TroubledOutbox(self.storage.outbox)

    async def store(self, count: int) -> None:
        letters = []
        for _ in range(count):
            letters.append(DeadLetter(Message("t", 0, self.offset, 0, b"{"), "No event."))
            self.offset += 1
        async with self.storage.deliveries.ingesting() as transaction:
            await transaction.add_dead_letters(letters)

    def relay(self, worker: UUID | None = None) -> OutboxRelay:
        return OutboxRelay(
            worker=worker or an_id(),
            outbox=self.outbox,
            sink=self.sink,
            clock=self.clock,
            observer=self.notebook,
            poll_interval=POLL,
        )

    @property
    def sent(self) -> list[int]:
        return [int(dict(one.headers)["dead-letter-offset"] or b"") for one in self.sink.sent]

    @property
    def left(self) -> int:
        return len(self.storage.state.outbox)


@asynccontextmanager
async def running(relay: OutboxRelay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def world() -> World:
    clock = ManualClock()
    return World(clock, memory_storage(clock, IdGenerator(clock), Topics()))


async def test_all_that_is_stored_is_sent_in_its_order_and_deleted(world: World) -> None:
    await world.store(1200)
    async with running(world.relay()):
        await advance_until(lambda: not world.left, world.clock)
        await world.store(3)
        await advance_until(lambda: not world.left, world.clock, within=2)
    assert world.sent == list(range(1203))
    assert world.notebook.relayed == 1203


async def test_what_is_not_acknowledged_is_sent_again_in_its_order(world: World) -> None:
    world.sink.takes = 2
    await world.store(5)
    async with running(world.relay()):
        await advance_until(lambda: world.left == 3, world.clock)
        world.sink.takes = None
        await advance_until(lambda: not world.left, world.clock, within=3)
    assert world.sent == [0, 1, 2, 3, 4]


async def test_what_nobody_answered_for_is_sent_again(world: World) -> None:
    world.sink.answers_get_lost = True
    await world.store(2)
    async with running(world.relay()):
        await advance_until(lambda: world.sent, world.clock)
        world.sink.answers_get_lost = False
        await advance_until(lambda: not world.left, world.clock, within=3)
    assert world.sent == [0, 1, 0, 1]


async def test_while_the_brokers_are_away_it_keeps_all_and_says_so(world: World) -> None:
    world.sink.away = True
    await world.store(2)
    async with running(world.relay()):
        await world.clock.advance(10)
        assert (world.left, world.sent) == (2, [])
        assert world.notebook.errors[0] == ("relay", "BrokersUnavailable")
        world.sink.away = False
        await advance_until(lambda: not world.left, world.clock, within=3)
    assert world.sent == [0, 1]


async def test_who_takes_long_to_send_is_not_taken_for_dead(world: World) -> None:
    world.sink.gate = asyncio.Event()
    await world.store(2)
    async with running(world.relay()), running(world.relay()):
        await world.clock.advance(60)
        assert not world.sent
        world.sink.gate.set()
        await advance_until(lambda: not world.left, world.clock, within=3)
    assert world.sent == [0, 1]


async def test_who_dies_while_sending_is_replaced_within_seconds(world: World) -> None:
    world.sink.gate = asyncio.Event()
    await world.store(2)
    async with running(world.relay()):
        await world.clock.advance(10)
    world.sink.gate = None
    async with running(world.relay()):
        await advance_until(lambda: not world.left, world.clock, within=5)
    assert world.sent == [0, 1]


async def test_who_stops_lets_another_go_on_at_once(world: World) -> None:
    first, second = world.relay(), world.relay()
    await world.store(1)
    async with running(first):
        await advance_until(lambda: not world.left, world.clock)
    await world.store(1)
    async with running(second):
        await world.clock.advance(1)
        assert world.left == 1
        await first.release()
        await advance_until(lambda: not world.left, world.clock, within=2)
    assert world.sent == [0, 1]


async def test_who_stops_while_storage_is_unreachable_leaves_the_outbox_to_its_lease(
    world: World,
) -> None:
    first, second = world.relay(), world.relay()
    await world.store(1)
    async with running(first):
        await advance_until(lambda: not world.left, world.clock)
    await world.store(1)
    world.outbox.is_unreachable = True
    await first.release()
    assert world.notebook.errors == [("relay", "StorageUnavailable")]
    world.outbox.is_unreachable = False
    async with running(second):
        await advance_until(lambda: not world.left, world.clock, within=5)
