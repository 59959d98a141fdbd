"""Relaying: in order, at least once, by one worker, whatever fails."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import define, field

from notification_adapters.memory import MemorySink
from notification_core.errors import BrokersUnavailable, StorageUnavailable
from notification_core.maintenance.outbox_relay import OutboxRelay
from notification_core.model.message import Topics
from notification_core.model.outbox_message import OutgoingMessage
from notification_core.ports.outbox import Outbox
from tests.support.assembly import MemoryApp


class FailingSink(MemorySink):
    """A sink that may be unavailable, or lose the response to what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.responses_get_lost = False
        self.gate: asyncio.Event | None = None

    async def send(self, messages: Sequence[OutgoingMessage]) -> int:
        if self.gate:
            await self.gate.wait()
        if self.away:
            raise BrokersUnavailable("It is unavailable.")
        sent = await super().send(messages)
        if self.responses_get_lost:
            raise BrokersUnavailable("Nobody answers.")
        return sent


@define
class FaultyOutbox(Outbox):
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
class Relaying:
    """A storage whose outbox is relayed, and both ends of it."""

    app: MemoryApp = field(factory=lambda: MemoryApp(topics=Topics()))
    sink: FailingSink = field(factory=FailingSink)
    outbox: FaultyOutbox = field(init=False)
    stored: int = field(init=False, default=0)

    @outbox.default
    def _faulty(self) -> FaultyOutbox:
        return FaultyOutbox(self.app.storage.outbox)

    async def store(self, count: int) -> None:
        numbers = range(self.stored, self.stored + count)
        await self.app.add_dead_letters(*(b"%d" % number for number in numbers))
        self.stored += count

    def relay(self) -> OutboxRelay:
        return self.app.outbox_relay(self.sink, self.outbox)

    @property
    def sent(self) -> list[int]:
        return [int(message.value or b"") for message in self.sink.sent]

    @property
    def left(self) -> int:
        return len(self.app.storage.state.outbox)

    async def until_all_is_sent(self, within: float = 0) -> None:
        await self.app.until(lambda: not self.left, within)


@asynccontextmanager
async def running(relay: OutboxRelay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def relaying() -> Relaying:
    return Relaying()


async def test_all_that_is_stored_is_sent_in_its_order_and_deleted(relaying: Relaying) -> None:
    await relaying.store(1200)
    async with running(relaying.relay()):
        await relaying.until_all_is_sent()
        await relaying.store(3)
        await relaying.until_all_is_sent(within=2)
    assert relaying.sent == list(range(1203))
    assert relaying.app.observer.relayed == 1203


async def test_what_is_not_acknowledged_is_resent_in_its_order(relaying: Relaying) -> None:
    relaying.sink.takes = 2
    await relaying.store(5)
    async with running(relaying.relay()):
        await relaying.app.until(lambda: relaying.left == 3)
        relaying.sink.takes = None
        await relaying.until_all_is_sent(within=3)
    assert relaying.sent == [0, 1, 2, 3, 4]


async def test_what_nobody_answered_for_is_resent(relaying: Relaying) -> None:
    relaying.sink.responses_get_lost = True
    await relaying.store(2)
    async with running(relaying.relay()):
        await relaying.app.until(lambda: relaying.sent)
        relaying.sink.responses_get_lost = False
        await relaying.until_all_is_sent(within=3)
    assert relaying.sent == [0, 1, 0, 1]


async def test_while_the_brokers_are_unavailable_it_keeps_all_and_says_so(
    relaying: Relaying,
) -> None:
    relaying.sink.away = True
    await relaying.store(2)
    async with running(relaying.relay()):
        await relaying.app.clock.advance(10)
        assert (relaying.left, relaying.sent) == (2, [])
        assert relaying.app.observer.errors[0] == ("relay", "BrokersUnavailable")
        relaying.sink.away = False
        await relaying.until_all_is_sent(within=3)
    assert relaying.sent == [0, 1]


async def test_who_takes_long_to_send_is_not_taken_for_dead(relaying: Relaying) -> None:
    relaying.sink.gate = asyncio.Event()
    await relaying.store(2)
    async with running(relaying.relay()), running(relaying.relay()):
        await relaying.app.clock.advance(60)
        assert not relaying.sent
        relaying.sink.gate.set()
        await relaying.until_all_is_sent(within=3)
    assert relaying.sent == [0, 1]


async def test_who_dies_while_sending_is_replaced_within_seconds(relaying: Relaying) -> None:
    relaying.sink.gate = asyncio.Event()
    await relaying.store(2)
    async with running(relaying.relay()):
        await relaying.app.clock.advance(10)
    relaying.sink.gate = None
    async with running(relaying.relay()):
        await relaying.until_all_is_sent(within=5)
    assert relaying.sent == [0, 1]


async def test_who_stops_lets_another_go_on_at_once(relaying: Relaying) -> None:
    first, second = relaying.relay(), relaying.relay()
    await relaying.store(1)
    async with running(first):
        await relaying.until_all_is_sent()
    await relaying.store(1)
    async with running(second):
        await relaying.app.clock.advance(1)
        assert relaying.left == 1
        await first.release()
        await relaying.until_all_is_sent(within=2)
    assert relaying.sent == [0, 1]


async def test_who_stops_while_storage_is_unreachable_leaves_the_outbox_to_its_lease(
    relaying: Relaying,
) -> None:
    first, second = relaying.relay(), relaying.relay()
    await relaying.store(1)
    async with running(first):
        await relaying.until_all_is_sent()
    await relaying.store(1)
    relaying.outbox.is_unreachable = True
    await first.release()
    assert relaying.app.observer.errors == [("relay", "StorageUnavailable")]
    relaying.outbox.is_unreachable = False
    async with running(second):
        await relaying.until_all_is_sent(within=5)
