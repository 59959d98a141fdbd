"""Full queues: estimated beside the hot path, and kept while storage is unavailable."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

import pytest

from notification_adapters.memory import ManualClock
from notification_core.errors import StorageUnavailable
from notification_core.ingest.full_queues import ESTIMATED_EVERY, FullQueueMonitor
from notification_core.ports.backlog import (
    MAX_COUNTED,
    MAX_WEBHOOKS,
    Backlog,
    BacklogSize,
    QueueLength,
)
from tests.support.observers import RecordingObserver
from tests.support.samples import an_id

ONE, ANOTHER = an_id(), an_id()


class Queues(Backlog):
    """A backlog whose queues are as long as a test says; counting them takes a time."""

    def __init__(self, clock: ManualClock) -> None:
        self.lengths: dict[UUID, int] = {}
        self.away = False
        self.looks = 0
        self.takes = 0.0
        self._clock = clock

    async def size(
        self, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> BacklogSize:
        raise NotImplementedError

    async def longest(
        self, limit: int, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> Sequence[QueueLength]:
        raise NotImplementedError

    async def longer_than(self, most: int) -> Collection[UUID]:
        self.looks += 1
        if self.away:
            raise StorageUnavailable("away")
        await self._clock.sleep(self.takes)
        return {one for one, length in self.lengths.items() if length > most}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queues(clock: ManualClock) -> Queues:
    return Queues(clock)


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
def full(queues: Queues, clock: ManualClock, observer: RecordingObserver) -> FullQueueMonitor:
    return FullQueueMonitor(queues, clock, observer, most=3)


async def test_a_queue_is_full_from_one_look_to_another(
    full: FullQueueMonitor, queues: Queues
) -> None:
    known = full.webhooks
    queues.lengths = {ONE: 4, ANOTHER: 3}
    assert known == set()
    await full.refresh()
    assert known == {ONE}
    queues.lengths = {ONE: 3, ANOTHER: 5}
    await full.refresh()
    assert known == {ANOTHER}


async def test_it_looks_every_ten_seconds_and_survives_an_unavailable_storage(
    full: FullQueueMonitor, queues: Queues, clock: ManualClock, observer: RecordingObserver
) -> None:
    queues.lengths = {ONE: 4}
    running = asyncio.create_task(full.run())
    await clock.advance(1)
    assert (queues.looks, full.webhooks) == (1, {ONE})
    queues.away = True
    await clock.advance(ESTIMATED_EVERY)
    assert (queues.looks, full.webhooks) == (2, {ONE})
    assert observer.errors == [("queues", "StorageUnavailable")]
    queues.away, queues.lengths = False, {}
    await clock.advance(ESTIMATED_EVERY)
    assert (queues.looks, full.webhooks) == (3, set())
    running.cancel()


async def test_what_takes_long_is_done_more_rarely(
    full: FullQueueMonitor, queues: Queues, clock: ManualClock
) -> None:
    queues.takes = 2.0
    running = asyncio.create_task(full.run())
    await clock.advance(30)
    assert queues.looks == 1
    await clock.advance(15)
    assert queues.looks == 2
    running.cancel()
