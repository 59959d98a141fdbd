"""Brokers that go and come back: nothing is lost, and nobody has to lend a hand."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from notification_adapters.kafka.config import Brokers
from tests.adapters.kafka.members import is_well, member, problem_of, taken, values
from tests.kafka.servers import Server, running_broker, running_cluster
from tests.kafka.topics import Kafka, topics_on
from tests.support.observers import RecordingObserver
from tests.support.waiting import PATIENCE, until

EVENTS = "job-events"


@pytest.fixture(scope="module")
def server(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:  # noqa: ARG001 - it only skips
    """Run a broker that only these tests have, so that it can be treated badly."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.server


@pytest.mark.long
async def test_a_broker_that_is_killed_and_started_again_is_gone_on_with(server: Server) -> None:
    observer = RecordingObserver()
    async with topics_on(server.address) as kafka:
        await kafka.create(EVENTS)
        await kafka.send(EVENTS, b"1", b"2")
        await kafka.close()
        async with member(kafka, observer=observer) as source:
            async with asyncio.timeout(PATIENCE):
                batch = await source.take()
            server.kill()
            async with asyncio.timeout(PATIENCE):
                await source.acknowledge(batch)  # in bounded time, whatever comes of it
            await until("it says so", lambda: problem_of(source))
            await asyncio.to_thread(server.start)
            fresh = Kafka(server.address, kafka.prefix, kafka.group)
            await fresh.send(EVENTS, b"3")
            await fresh.close()
            assert values(await taken(source, 1))[-1] == b"3"
            await until("it is well again", lambda: is_well(source))


async def test_a_broker_that_is_not_there_yet_is_waited_for(server: Server) -> None:
    await asyncio.to_thread(server.stop)
    async with topics_on(server.address) as kafka, member(kafka) as source:
        await until("it says so", lambda: problem_of(source))
        await asyncio.to_thread(server.start)
        await until("it is well", lambda: is_well(source))
        await kafka.send(EVENTS, b"1")
        assert values(await taken(source, 1)) == [b"1"]


async def test_a_broker_that_hangs_does_not_hold_up_a_stop(server: Server) -> None:
    async with topics_on(server.address) as kafka:
        await kafka.create(EVENTS)
        await kafka.send(EVENTS, b"1")
        await kafka.close()
        try:
            async with member(kafka) as source:
                async with asyncio.timeout(PATIENCE):
                    await source.take()
                server.freeze()
                left_at = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - left_at < 10
        finally:
            server.thaw()


@pytest.mark.long
async def test_with_a_replication_factor_of_two_one_broker_may_die(
    kafka_jars: None,  # noqa: ARG001 - it only skips
    tmp_path: Path,
) -> None:
    with running_cluster(tmp_path) as cluster:
        async with topics_on(cluster.addresses) as kafka:
            brokers = Brokers(cluster.addresses.split(","))
            async with member(kafka, brokers, replication_factor=2) as source:
                await until("it is well", lambda: is_well(source))
                for number in range(10):
                    await kafka.send(EVENTS, b"%d" % number, key=b"%d" % number)
                found = [*await taken(source, 10)]
                await asyncio.to_thread(cluster.brokers[0].kill)
                for number in range(10, 20):
                    await kafka.send(EVENTS, b"%d" % number, key=b"%d" % number)
                while len(set(values(found))) < 20:
                    found += await taken(source, 1)
