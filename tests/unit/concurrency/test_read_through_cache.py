"""What is read through a cache: once for all who wait, again when it is stale, and not too much."""

import asyncio
from datetime import timedelta

import pytest

from notification_adapters.memory.clock import ManualClock
from notification_core.concurrency.read_through_cache import ReadThroughCache
from notification_core.errors import StorageUnavailable

FRESH_FOR = timedelta(seconds=10)


class Source:
    """Counts what is read, and stops reading when it is told to."""

    def __init__(self) -> None:
        self.reads: list[int] = []
        self.clock = ManualClock()
        self.cache = ReadThroughCache(self.load, self.clock, FRESH_FOR)
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.is_unreachable = False

    async def load(self, key: int) -> str:
        self.reads.append(key)
        await self.may_read.wait()
        if self.is_unreachable:
            raise StorageUnavailable("It is not there.")
        return f"{key}, read {self.reads.count(key)} times"


@pytest.fixture
def source() -> Source:
    return Source()


async def test_a_value_comes_from_memory_while_it_is_fresh(source: Source) -> None:
    assert await source.cache.get(1) == "1, read 1 times"
    await source.clock.advance(9.9)
    assert await source.cache.get(1) == "1, read 1 times"
    await source.clock.advance(0.1)
    assert await source.cache.get(1) == "1, read 2 times"


async def test_it_is_stale_by_the_time_when_its_reading_began(source: Source) -> None:
    source.may_read.clear()
    slow = asyncio.create_task(source.cache.get(1))
    await asyncio.sleep(0)
    await source.clock.advance(10)
    source.may_read.set()
    assert await slow == "1, read 1 times"
    assert await source.cache.get(1) == "1, read 2 times"


async def test_however_many_wait_it_is_read_once(source: Source) -> None:
    source.may_read.clear()
    waiting = [asyncio.create_task(source.cache.get(1)) for _ in range(10)]
    await asyncio.sleep(0)
    source.may_read.set()
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert source.reads == [1]


async def test_who_gives_up_waiting_takes_nothing_from_the_others(source: Source) -> None:
    source.may_read.clear()
    first, second = [asyncio.create_task(source.cache.get(1)) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    source.may_read.set()
    assert await second == "1, read 2 times"


async def test_an_error_is_not_remembered(source: Source) -> None:
    source.is_unreachable = True
    with pytest.raises(StorageUnavailable):
        await source.cache.get(1)
    source.is_unreachable = False
    assert await source.cache.get(1) == "1, read 2 times"


async def test_what_has_changed_is_read_again(source: Source) -> None:
    for key in (1, 2):
        await source.cache.get(key)
    source.cache.invalidate(1)
    assert await source.cache.get(1) == "1, read 2 times"
    assert await source.cache.get(2) == "2, read 1 times"


async def test_beyond_ten_thousand_what_was_read_longest_ago_is_forgotten(source: Source) -> None:
    for key in range(10_000):
        await source.cache.get(key)
    source.cache.invalidate(0)
    await source.cache.get(0)
    await source.cache.get(10_000)
    source.reads.clear()
    for key in (0, 2, 10_000):
        await source.cache.get(key)
    assert source.reads == []
    await source.cache.get(1)
    assert source.reads == [1]
