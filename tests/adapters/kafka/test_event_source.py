"""What is special to Kafka as a source: groups, rebalances, transactions, and what it survives."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from attrs import define, field

from notification_adapters.kafka import event_source, group_member
from notification_adapters.kafka.config import Brokers, Start
from notification_adapters.kafka.event_source import KafkaSource
from notification_core.model.message import Message
from tests.adapters.kafka.members import is_well, member, problem_of, taken, values
from tests.kafka.topics import Kafka
from tests.support.observers import RecordingObserver
from tests.support.waiting import PATIENCE, until

EVENTS = "job-events"
LONGEST = group_member.STALL_SECONDS + PATIENCE
"""Seconds. A member that the driver has left behind in a rebalance rejoins by then."""


async def take(source: KafkaSource) -> Sequence[Message]:
    async with asyncio.timeout(PATIENCE):
        return await source.take()


async def test_it_is_well_once_it_has_joined_and_knows_how_far_it_is_behind(kafka: Kafka) -> None:
    await kafka.create(EVENTS, partitions=2)
    await kafka.send(EVENTS, b"1", b"2", b"3", partition=0)
    async with member(kafka) as one:
        assert "connecting" in await problem_of(one)
        await until("it is well", lambda: is_well(one))
        place = kafka.topic(EVENTS), 0
        assert (one.lag()[place], one.lag()[kafka.topic(EVENTS), 1]) == (3, 0)
        await taken(one, 3)

        async def caught_up() -> bool:
            return one.lag()[place] == 0

        await until("nothing is left", caught_up)


async def test_an_unacknowledged_message_counts_as_not_stored(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_member, "WATCH_SECONDS", 0.1)
    await kafka.create(EVENTS)
    await kafka.send(EVENTS, b"1", b"2", b"3")
    async with member(kafka) as one:
        batch = await take(one)
        await one.acknowledge(batch[:1])

        async def two_are_left() -> bool:
            return one.lag().get((kafka.topic(EVENTS), 0)) == 2

        await until("two are left", two_are_left)


@define
class Consumer:
    """Takes and acknowledges what comes, and may be told to hold a batch in its hands."""

    source: KafkaSource
    found: list[Message] = field(factory=list)
    holding: asyncio.Event = field(factory=asyncio.Event)
    go_on: asyncio.Event = field(factory=asyncio.Event)

    async def run(self) -> None:
        while batch := await self.source.take():
            self.found += batch
            self.holding.set()
            await self.go_on.wait()
            await self.source.acknowledge(batch)


@asynccontextmanager
async def consuming(kafka: Kafka) -> AsyncIterator[Consumer]:
    async with member(kafka) as source:
        consumer = Consumer(source)
        task = asyncio.create_task(consumer.run())
        yield consumer
        source.stop()
        consumer.go_on.set()
        await task


async def test_a_member_that_loses_partitions_first_stores_what_it_holds(
    kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aiokafka")
    await kafka.create(EVENTS, partitions=2)
    for partition in (0, 1):
        await kafka.send(EVENTS, *[b"x"] * 1000, partition=partition)

    async def is_losing() -> bool:
        return "Revoking previously assigned partitions frozenset({Topic" in caplog.text

    async with consuming(kafka) as first:
        await first.holding.wait()
        async with consuming(kafka) as second:
            second.go_on.set()
            await until("the first one is to let go", is_losing)
            assert not second.found
            first.go_on.set()

            async def all_there() -> bool:
                return len(first.found) + len(second.found) >= 2000

            await until("all are there", all_there)
    found = [*first.found, *second.found]
    assert len({(one.partition, one.offset) for one in found}) == len(found) == 2000


async def test_members_share_the_partitions_and_each_message_is_taken_once(kafka: Kafka) -> None:
    await kafka.create(EVENTS, partitions=4)
    async with consuming(kafka) as first, consuming(kafka) as second:
        for one in (first, second):
            one.go_on.set()

        async def shared() -> bool:
            lags = len(first.source.lag()), len(second.source.lag())
            return all(lags) and sum(lags) == 5  # one partition is of the other topic

        await until("they share", shared)
        for partition in range(4):
            await kafka.send(EVENTS, *[b"x"] * 100, partition=partition)

        async def all_there() -> bool:
            return len(first.found) + len(second.found) >= 400

        await until("all are there", all_there)
    found = [*first.found, *second.found]
    assert first.found
    assert second.found
    assert len({(one.partition, one.offset) for one in found}) == len(found) == 400


@pytest.mark.timeout(600)
@pytest.mark.experiment(16, "consumers come and go")
async def test_members_that_come_and_go_skip_nothing(kafka: Kafka) -> None:
    await kafka.create(EVENTS, partitions=4)
    everyone: list[Consumer] = []

    def found() -> set[tuple[int, int]]:
        return {(one.partition, one.offset) for each in everyone for one in each.found}

    async def have_come(count: int) -> bool:
        return len(found()) >= count

    async with AsyncExitStack() as stays:
        for number in range(8):
            before = len(found())
            await kafka.send(EVENTS, *[b"x"] * 250, partition=number % 4)
            async with AsyncExitStack() as goes:
                # One of them stays: the others come and go beside it.
                stack = stays if number == 3 else goes
                everyone.append(await stack.enter_async_context(consuming(kafka)))
                everyone[-1].go_on.set()
                await until("some more came", partial(have_come, before + 1), LONGEST)
        await until("all came", partial(have_come, 8 * 250), LONGEST)


async def test_a_commit_that_the_group_refuses_ends_nothing(kafka: Kafka) -> None:
    observer = RecordingObserver()
    await kafka.create(EVENTS)
    await kafka.send(EVENTS, b"1", b"2")
    async with member(kafka, observer=observer) as one:
        batch = await take(one)
        assert one._member  # noqa: SLF001 - what a group forgets, no test can make it forget in time
        coordinator = one._member._consumer._coordinator  # noqa: SLF001 - the same
        assert coordinator
        coordinator.member_id = "forgotten"
        await one.acknowledge(batch)
        assert ("kafka_commit", "CommitFailedError") in observer.errors
        assert values(await taken(one, 2)) == [b"1", b"2"]
        await kafka.send(EVENTS, b"3")
        assert values(await taken(one, 1)) == [b"3"]
    assert await kafka.committed(EVENTS) == {0: 3}


@pytest.mark.experiment(17, "a batch longer than the longest poll interval")
async def test_a_batch_may_take_longer_than_the_longest_poll_interval(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_source, "MAX_POLL_INTERVAL_MS", 1500)
    observer = RecordingObserver()
    await kafka.create(EVENTS)
    await kafka.send(EVENTS, b"1", b"2")
    async with member(kafka, observer=observer) as one:
        batch = await take(one)
        await asyncio.sleep(5)  # the promise is about time
        assert await kafka.group_state() == "Stable"  # it is a member still
        await one.acknowledge(batch)
        assert await kafka.committed(EVENTS) == {0: 2}
        await kafka.send(EVENTS, b"3")
        assert values(await taken(one, 1)) == [b"3"]
    assert observer.errors == []


async def test_a_consumer_that_makes_no_progress_is_started_again(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_member, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(group_member, "STALL_SECONDS", 1.0)
    observer = RecordingObserver()
    await kafka.create(EVENTS)
    async with member(kafka, observer=observer) as one:
        await until("it is well", lambda: is_well(one))
        assert one._member  # noqa: SLF001 - nothing else makes a real consumer hang
        one._member._consumer.pause(TopicPartition(kafka.topic(EVENTS), 0))  # noqa: SLF001 - the same
        await kafka.send(EVENTS, b"1")
        assert values(await taken(one, 1)) == [b"1"]
    assert ("kafka", "BrokersUnavailable") in observer.errors


@pytest.mark.parametrize("start", Start)
async def test_a_groups_first_start_is_where_it_is_told_to_be(kafka: Kafka, start: Start) -> None:
    await kafka.create(EVENTS)
    await kafka.send(EVENTS, b"before")
    async with member(kafka, start=start) as one:
        await until("it is well", lambda: is_well(one))
        await kafka.send(EVENTS, b"after")
        wanted = [b"after"] if start is Start.LATEST else [b"before", b"after"]
        assert values(await taken(one, len(wanted))) == wanted


async def test_a_later_start_goes_on_where_the_group_was_whatever_it_is_told(kafka: Kafka) -> None:
    await kafka.create(EVENTS)
    await kafka.send(EVENTS, b"1")
    async with member(kafka) as one:
        await taken(one, 1)
    await kafka.send(EVENTS, b"2")
    async with member(kafka, start=Start.LATEST) as one:
        assert values(await taken(one, 1)) == [b"2"]


async def test_a_topic_that_is_recreated_is_read_from_its_beginning(kafka: Kafka) -> None:
    await kafka.create(EVENTS)
    async with member(kafka, start=Start.LATEST) as one:
        await until("it is well", lambda: is_well(one))
        await kafka.send(EVENTS, b"1", b"2")
        await taken(one, 2)
    await kafka.delete(EVENTS)

    async def is_gone() -> bool:
        return not await kafka.exists(EVENTS)

    await until("it is gone", is_gone)
    await kafka.create(EVENTS)
    await kafka.send(EVENTS, b"3")
    async with member(kafka, start=Start.LATEST) as one:
        assert values(await taken(one, 1)) == [b"3"]


async def test_what_a_transaction_took_back_has_not_happened(kafka: Kafka) -> None:
    topic = await kafka.create(EVENTS)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.brokers, transactional_id=kafka.group
    ) as producer:
        await producer.begin_transaction()
        await producer.send(topic, b"taken back")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send(topic, b"meant")
    async with member(kafka) as one:
        assert values(await taken(one, 1)) == [b"meant"]

        async def caught_up() -> bool:
            return one.lag() == dict.fromkeys(one.lag(), 0)

        await until("no marker counts as a message", caught_up)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_read(kafka: Kafka, codec: str) -> None:
    topic = await kafka.create(EVENTS)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.brokers, compression_type=codec
    ) as producer:
        await producer.send_and_wait(topic, b"x" * 10_000)
    async with member(kafka) as one:
        assert values(await taken(one, 1)) == [b"x" * 10_000]


async def test_a_message_larger_than_a_fetch_is_read(kafka: Kafka) -> None:
    await kafka.create(EVENTS, max_message_bytes="20000000")
    large = b"x" * 19_000_000
    await kafka.send(EVENTS, large, b"after")
    async with member(kafka) as one:
        assert values(await taken(one, 2)) == [large, b"after"]


async def test_one_broker_of_the_list_is_enough(kafka: Kafka) -> None:
    await kafka.create(EVENTS)
    await kafka.send(EVENTS, b"1")
    async with member(kafka, Brokers(["127.0.0.1:1", kafka.brokers])) as one:
        assert values(await taken(one, 1)) == [b"1"]


@pytest.mark.experiment(15, "no broker at the start")
async def test_without_a_broker_it_says_so_and_goes_on_asking(kafka: Kafka) -> None:
    observer = RecordingObserver()
    async with member(kafka, Brokers(["127.0.0.1:1"]), observer) as one:

        async def said() -> bool:
            return "No broker can be reached" in await problem_of(one)

        await until("it says so", said)

        async def again() -> bool:
            return len(observer.errors) > 1

        await until("it asks again", again)
