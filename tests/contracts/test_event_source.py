"""What an event source promises, for every one there is."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Protocol

import pytest
from attrs import define, field

from notification_adapters.clock import SystemClock
from notification_adapters.kafka.config import Brokers, ConsumerConfig
from notification_adapters.kafka.event_source import open_source
from notification_adapters.memory import MemoryTopics
from notification_core.model.message import Headers, Message, Topics
from notification_core.ports.event_source import MAX_TAKEN, EventSource
from tests.kafka.topics import Kafka, topics_on
from tests.support.observers import RecordingObserver
from tests.support.waiting import PATIENCE


class Stage(Protocol):
    """Topics, and the members of a group that consumes them."""

    @abstractmethod
    async def send(
        self,
        *values: bytes | None,
        partition: int = 0,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        """Send messages to one partition of a topic."""

    @abstractmethod
    async def join(self) -> EventSource:
        """Return a new member of the group."""

    @abstractmethod
    async def leave(self, source: EventSource) -> None:
        """Take a member out of the group, without a word to what is in its hands."""


@define
class InMemory(Stage):
    """Topics in memory."""

    topics: MemoryTopics = field(factory=MemoryTopics)

    async def send(
        self,
        *values: bytes | None,
        partition: int = 0,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        for value in values:
            self.topics.send("t", value, partition=partition, key=key, headers=headers)

    async def join(self) -> EventSource:
        return self.topics.join()

    async def leave(self, source: EventSource) -> None:
        source.stop()


@define
class OnKafka(Stage):
    """Topics of a real broker."""

    kafka: Kafka
    members: dict[EventSource, AsyncExitStack] = field(factory=dict)

    async def send(
        self,
        *values: bytes | None,
        partition: int = 0,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        await self.kafka.send(
            "job-events", *values, partition=partition, key=key or b"key", headers=headers
        )

    async def join(self) -> EventSource:
        stack = AsyncExitStack()
        source = await stack.enter_async_context(
            open_source(
                Brokers([self.kafka.brokers]),
                ConsumerConfig(
                    Topics(self.kafka.prefix),
                    fetch_wait=timedelta(milliseconds=20),
                    group=self.kafka.group,
                ),
                SystemClock(),
                RecordingObserver(),
            )
        )
        self.members[source] = stack
        return source

    async def leave(self, source: EventSource) -> None:
        await self.members.pop(source).aclose()


@pytest.fixture(params=["memory", "kafka"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Every source in turn, with two partitions and nothing in them."""
    if request.param == "memory":
        yield InMemory()
        return
    async with topics_on(request.getfixturevalue("broker").server.address) as kafka:
        await kafka.create("job-events", partitions=2)
        stage = OnKafka(kafka)
        yield stage
        for member in [*stage.members]:
            await stage.leave(member)


async def taken(source: EventSource, count: int) -> Sequence[Message]:
    """Take and acknowledge until there are so many."""
    found: list[Message] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            found += (batch := await source.take())
            await source.acknowledge(batch)
    return found


def values(messages: Sequence[Message]) -> Sequence[bytes | None]:
    return [message.value for message in messages]


async def test_a_message_comes_as_it_was_sent(stage: Stage) -> None:
    headers: Headers = (("a", b"\xff\x00"), ("b", b""), ("a", b"again"))
    await stage.send(b"\x00 not utf-8 \xff", key=b"\x01key", headers=headers)
    source = await stage.join()
    (message,) = await taken(source, 1)
    assert message.value == b"\x00 not utf-8 \xff"
    assert (message.key, message.headers) == (b"\x01key", headers)
    assert (message.partition, message.offset) == (0, 0)


async def test_a_message_without_a_value_comes_too(stage: Stage) -> None:
    await stage.send(None, b"")
    assert values(await taken(await stage.join(), 2)) == [None, b""]


async def test_each_partition_comes_in_its_order(stage: Stage) -> None:
    sent = [b"%d" % number for number in range(2 * MAX_TAKEN)]
    await stage.send(*sent)
    await stage.send(*sent[::-1], partition=1)
    found = await taken(await stage.join(), 4 * MAX_TAKEN)
    assert [one.value for one in found if one.partition == 0] == sent
    assert [one.value for one in found if one.partition == 1] == sent[::-1]


async def test_no_more_than_so_many_are_given_at_once(stage: Stage) -> None:
    await stage.send(*[b"x"] * (MAX_TAKEN + 1))
    source = await stage.join()
    async with asyncio.timeout(PATIENCE):
        assert len(await source.take()) == MAX_TAKEN
        assert len(await source.take()) == 1


async def test_what_comes_later_is_waited_for(stage: Stage) -> None:
    source = await stage.join()
    waiting = asyncio.create_task(taken(source, 1))
    await stage.send(b"late")
    assert values(await waiting) == [b"late"]


async def test_what_was_acknowledged_is_not_given_again(stage: Stage) -> None:
    await stage.send(b"1", b"2")
    first = await stage.join()
    await taken(first, 2)
    await stage.leave(first)
    await stage.send(b"3")
    assert values(await taken(await stage.join(), 1)) == [b"3"]


async def test_what_was_not_acknowledged_is_given_again(stage: Stage) -> None:
    await stage.send(b"1", b"2", b"3")
    first = await stage.join()
    async with asyncio.timeout(PATIENCE):
        batch = await first.take()
        await first.acknowledge(batch[:1])
    await stage.leave(first)
    assert values(await taken(await stage.join(), 2)) == [b"2", b"3"]


async def test_an_acknowledgement_that_comes_too_late_changes_nothing(stage: Stage) -> None:
    await stage.send(b"1")
    first = await stage.join()
    async with asyncio.timeout(PATIENCE):
        batch = await first.take()
    await stage.leave(first)
    second = await stage.join()
    async with asyncio.timeout(PATIENCE):
        await second.take()
        await first.acknowledge(batch)
    await stage.leave(second)
    assert values(await taken(await stage.join(), 1)) == [b"1"]


async def test_acknowledging_twice_changes_nothing(stage: Stage) -> None:
    await stage.send(b"1", b"2")
    source = await stage.join()
    async with asyncio.timeout(PATIENCE):
        batch = await source.take()
        await source.acknowledge(batch)
        await source.acknowledge(batch)
    await stage.leave(source)
    await stage.send(b"3")
    assert values(await taken(await stage.join(), 1)) == [b"3"]


async def test_once_stopped_it_gives_nothing_also_to_who_is_waiting(stage: Stage) -> None:
    source = await stage.join()
    waiting = asyncio.create_task(source.take())
    await asyncio.sleep(0)
    source.stop()
    async with asyncio.timeout(PATIENCE):
        assert not await waiting
        await stage.send(b"1")
        assert not await source.take()


async def test_what_is_in_hand_when_it_is_stopped_can_be_acknowledged_still(stage: Stage) -> None:
    await stage.send(b"1")
    source = await stage.join()
    async with asyncio.timeout(PATIENCE):
        batch = await source.take()
        source.stop()
        await source.acknowledge(batch)
    await stage.leave(source)
    await stage.send(b"2")
    assert values(await taken(await stage.join(), 1)) == [b"2"]
