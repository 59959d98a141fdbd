"""From Kafka to the receivers: nothing is lost, whenever the consumer is killed."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import aiohttp
import pytest

from tests.faults.experiment import Experiment
from tests.faults.kafka_run import on_stage
from tests.faults.kafka_stage import (
    EVENTS,
    POISON,
    Stage,
    event,
)
from tests.faults.load import all_published
from tests.faults.marks import postgres_when_long
from tests.faults.place import Place, place_on
from tests.faults.rules import interruptions
from tests.faults.stage import Up
from tests.kafka.servers import Broker
from tests.kafka.topics import Kafka
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import until

KILLED = -9
GROUP_SESSION, RECOVERY = 10.0, 5.0  # seconds


@pytest.mark.long
@pytest.mark.experiment(8, "the consumer killed at random under load")
@postgres_when_long
async def test_kills_lose_nothing_and_poison_goes_to_its_topic(
    experiment: Experiment, place: Place, kafka: Kafka
) -> None:
    manners = [lambda s=s: (experiment.random.uniform(0, 0.05), s) for s in (200, 204)]
    async with on_stage(experiment, kafka, place, *manners) as run:
        consumer = run.stage.consumer
        for _ in range(3):
            producing = asyncio.create_task(run.produce(600))
            await asyncio.sleep(experiment.random.uniform(0.05, 1.0))
            await consumer.kill()
            await producing
            await consumer.start()
        await run.drain()
        assert await consumer.terminate(15) == 0


@pytest.mark.experiment(25, "every kind of poison message in Kafka")
@postgres_when_long
async def test_every_kind_of_poison_is_a_dead_letter_and_its_neighbours_are_delivered(
    experiment: Experiment, place: Place, kafka: Kafka
) -> None:
    async with on_stage(experiment, kafka, place, lambda: (0, 200)) as run:
        for poison in POISON:
            values = [event(run.account), poison, event(run.account)]
            run.account.poison.append(poison)
            await kafka.send(EVENTS, *values, partition=0, key=b"k")
        await run.drain()
        assert run.requests == 2 * len(POISON)


@pytest.mark.parametrize(
    ("at", "there"),
    [
        pytest.param(
            "polled=kill",
            0,
            id="polled",
            marks=pytest.mark.experiment(1, "killed after the poll, before the storage's commit"),
        ),
        pytest.param(
            "stored=kill",
            20,
            id="stored",
            marks=pytest.mark.experiment(
                2, "killed after the storage's commit, before the offset's"
            ),
        ),
    ],
)
@postgres_when_long
async def test_killed_on_either_side_of_the_storages_commit_it_reads_again_and_sends_once(
    experiment: Experiment, place: Place, kafka: Kafka, at: str, there: int
) -> None:
    async with on_stage(experiment, kafka, place, lambda: (0, 200), at=at) as run:
        consumer = run.stage.consumer
        values = [event(run.account) for _ in range(20)]
        await kafka.send(EVENTS, *values, partition=0, key=b"k")
        assert await consumer.ended() == KILLED
        assert len((await place.stored()).events) == there
        assert not await kafka.committed(EVENTS)
        consumer.tampering = ()
        await consumer.start()
        await run.drain()
        assert run.requests == len(values)


@pytest.mark.experiment(9, "a consumer stopped by SIGTERM under load")
@postgres_when_long
async def test_told_to_stop_under_load_it_leaves_no_attempt_interrupted(
    experiment: Experiment, place: Place, kafka: Kafka
) -> None:
    await stop_under_load(experiment, place, kafka)


@pytest.mark.long
@pytest.mark.experiment(9, "a consumer's two workers stopped by SIGTERM under load")
async def test_two_workers_told_to_stop_under_load_leave_no_attempt_interrupted(
    experiment: Experiment, postgres: PostgresServer, kafka: Kafka
) -> None:
    async with place_on(postgres) as place:
        await stop_under_load(experiment, place, kafka, "--workers", "2")


async def stop_under_load(
    experiment: Experiment, place: Place, kafka: Kafka, *options: str
) -> None:
    def slowly() -> tuple[float, int]:
        return experiment.random.uniform(0.2, 0.6), 200

    async with on_stage(experiment, kafka, place, slowly, options=options) as run:
        producing = asyncio.create_task(run.produce(1000 if experiment.judged else 300))
        (receiver,) = run.accounts.receivers
        await receiver.wait_for(50)
        assert await run.stage.consumer.terminate(15) == 0
        await producing
        stopped = await place.stored()
        assert interruptions(stopped.attempts) == 0
        assert not any(one.held for one in stopped.deliveries)
        await run.stage.consumer.start()
        await run.drain()
        assert run.requests == len(run.account.published)


@pytest.mark.experiment(15, "the brokers unavailable, and back")
@postgres_when_long
async def test_without_brokers_it_stays_and_says_so_and_its_end_does_not_wait_for_them(
    experiment: Experiment, place: Place, kafka: Kafka, broker: Broker
) -> None:
    async with on_stage(experiment, kafka, place, lambda: (0, 200)) as run:
        consumer = run.stage.consumer
        broker.server.kill()

        async def is_missed() -> bool:
            status, parts = await readiness(consumer)
            wrong = {part for part, state in parts.items() if state != "ok"}
            return status == HTTPStatus.SERVICE_UNAVAILABLE and wrong == {"event source"}

        await until("it misses its brokers", is_missed, 60)
        await run.stage.api.publish("by-http")
        run.account.beside += all_published(run.stage.api, ["by-http"])
        await asyncio.to_thread(broker.server.start)
        await run.produce(20)

        async def is_well() -> bool:
            return (await readiness(consumer))[0] == HTTPStatus.OK

        await until("all is well again", is_well, 30)
        await run.drain()
        broker.server.freeze()
        try:
            assert await consumer.terminate(15) == 0
        finally:
            broker.server.thaw()


async def readiness(consumer: Up) -> tuple[int, Mapping[str, str]]:
    url = f"http://127.0.0.1:{consumer.ports[1]}/readyz"
    async with aiohttp.request("GET", url) as response:
        return response.status, (await response.json())["parts"]


@pytest.mark.long
@pytest.mark.experiment(16, "consumers come and go on PostgreSQL")
async def test_consumers_that_come_and_go_lose_nothing_and_cut_nothing_off(
    experiment: Experiment, kafka: Kafka, postgres: PostgresServer
) -> None:
    def quickly() -> tuple[float, int]:
        return experiment.random.uniform(0, 0.1), 200

    async with (
        place_on(postgres) as place,
        on_stage(experiment, kafka, place, quickly, count=2) as run,
    ):
        for number in range(6):
            goes = run.stage.consumers[number % 2]
            producing = asyncio.create_task(run.produce(400))
            await asyncio.sleep(experiment.random.uniform(0, 2))
            assert await goes.terminate(15) == 0
            await producing
            await goes.start()
        await run.drain()
        assert run.requests == len(run.account.published)


TWO_CONSUMERS, TWO_WORKERS = "two consumers", "two workers of one"


@pytest.mark.long
@pytest.mark.experiment(8, "one of two that consume killed during 5,000 events")
@pytest.mark.parametrize("two", [TWO_CONSUMERS, TWO_WORKERS])
async def test_of_two_that_consume_on_postgresql_one_is_killed_and_nothing_is_lost(
    experiment: Experiment, kafka: Kafka, postgres: PostgresServer, two: str
) -> None:
    def quickly() -> tuple[float, int]:
        return experiment.random.uniform(0, 0.02), 200

    options, count = (("--workers", "2"), 1) if two == TWO_WORKERS else ((), 2)
    async with (
        place_on(postgres) as place,
        on_stage(experiment, kafka, place, quickly, options=options, count=count) as run,
    ):
        (receiver,) = run.accounts.receivers
        producing = asyncio.create_task(run.produce(5000, every=50))
        publishing = asyncio.create_task(run.stage.publish_beside(run.account, 200))
        await receiver.wait_for(500, within=60)
        await kill_one(run.stage)
        killed_at = time.monotonic()
        await receiver.wait_for(len(receiver.requests) + 500, within=60)
        experiment.tell(f"500 more requests {time.monotonic() - killed_at:.1f} s after the kill")
        await asyncio.gather(producing, publishing)
        if two == TWO_CONSUMERS:
            await run.stage.consumer.start()
        await run.drain()


@pytest.mark.long
@pytest.mark.experiment(8, "one of two that consume killed, its partitions taken over")
@pytest.mark.parametrize("two", [TWO_CONSUMERS, TWO_WORKERS])
async def test_of_two_that_consume_one_takes_over_what_the_killed_one_read(
    experiment: Experiment, kafka: Kafka, postgres: PostgresServer, two: str
) -> None:
    options, count = (("--workers", "2"), 1) if two == TWO_WORKERS else ((), 2)
    async with (
        place_on(postgres) as place,
        on_stage(experiment, kafka, place, lambda: (0, 200), options=options, count=count) as run,
    ):
        (receiver,) = run.accounts.receivers
        await run.produce(100)
        await receiver.wait_for(100)

        async def share_them() -> bool:
            await asyncio.sleep(0.5)
            return await kafka.members() == 2

        await until("both have partitions", share_them)
        await kill_one(run.stage)
        killed_at = time.monotonic()
        for partition in range(4):
            await kafka.send(EVENTS, event(run.account), partition=partition, key=b"k")
        await receiver.wait_for(104)
        took = time.monotonic() - killed_at
        experiment.tell(f"all partitions were read again {took:.1f} s after the kill")
        assert took <= GROUP_SESSION + RECOVERY or not experiment.judged
        if two == TWO_CONSUMERS:
            await run.stage.consumer.start()
        await run.drain()


async def kill_one(stage: Stage) -> None:
    """Kill one of two processes that consume."""
    if len(stage.consumers) > 1:
        await stage.consumer.kill()
    else:
        os.kill(stage.consumer.workers[0], signal.SIGKILL)
        stage.consumer.kills.append(datetime.now(UTC))
