"""From Kafka to the receivers: nothing is lost, whenever the consumer is killed."""

import asyncio
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from http import HTTPStatus
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.faults.accounts import Accounts
from tests.faults.checker import check, interruptions
from tests.faults.files import write_history
from tests.faults.history import Allowed, History, Seen
from tests.faults.kafka_stage import (
    EVENTS,
    LETTERS,
    POISON,
    Account,
    Stage,
    consuming,
    consuming_together,
    event,
)
from tests.faults.place import place_on
from tests.faults.stage import Up, until
from tests.kafka.servers import Broker
from tests.kafka.topics import Kafka
from tests.postgres_server import PostgresServer
from tests.receivers import Receiver

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def kafka(kafka: Kafka) -> Kafka:
    """Give the group its name in production."""
    kafka.group = "notification-management"
    return kafka


@pytest.fixture
def random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - to be repeated, not to be kept secret


async def settle(stage: Stage, account: Account, accounts: Accounts, folder: Path) -> list[Seen]:
    """Wait for the end of a run, have it checked, and return what the receivers saw."""
    await until("all is taken in", lambda: stage.is_caught_up(account), 90)
    await until("all is delivered", lambda: stage.is_delivered(account), 60)
    seen = list(accounts.seen(await stage.api.key()))
    history = History(
        published=[*account.published, *account.beside],
        seen=seen,
        stored=await stage.look(),
        allowed=Allowed(starts=stage.consumer.starts),
    )
    write_history(folder, history)
    verdict = check(history)
    assert verdict.holds, f"{verdict}\npython -m tests.faults.checker {folder}"
    await until("all poison is set aside", lambda: is_set_aside(stage, account))
    return seen


async def is_set_aside(stage: Stage, account: Account) -> bool:
    """Tell whether each poison is in its topic; who was killed may have sent some twice."""
    letters = await stage.kafka.read(LETTERS, await stage.kafka.count(LETTERS))
    of_place = {
        tuple(dict(one.headers)[f"dead-letter-{name}"] for name in ("partition", "offset")): one
        for one in letters
    }
    return Counter(one.value for one in of_place.values()) == Counter(account.poison)


async def test_kills_lose_nothing_and_poison_goes_to_its_topic(
    tmp_path: Path, kafka: Kafka, random: Random, tell: Callable[[str], None]
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(
            consuming(tmp_path, kafka, WEBHOOKS_RETRY_INTERVAL="200ms")
        )
        for status in (200, 204):
            manner = lambda status=status: (random.uniform(0, 0.05), status)  # noqa: E731 - one line
            receiver = await stack.enter_async_context(accounts.receiver(manner))
            await stage.api.subscribe(receiver.url)
        account = Account(stage.api.environment)
        for _ in range(3):
            producing = asyncio.create_task(stage.produce(account, 600, random))
            await asyncio.sleep(random.uniform(0.05, 1.0))
            await stage.consumer.kill()
            await producing
            await stage.consumer.start()
        seen = await settle(stage, account, accounts, tmp_path)
        tell(f"{len(account.published)} events, {len(account.poison)} poison, {len(seen)} requests")
        assert await stage.consumer.terminate(15) == 0


async def test_every_kind_of_poison_is_a_dead_letter_and_its_neighbours_are_delivered(
    tmp_path: Path, kafka: Kafka
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(consuming(tmp_path, kafka))
        receiver = await stack.enter_async_context(accounts.receiver(lambda: (0, 200)))
        await stage.api.subscribe(receiver.url)
        account = Account(stage.api.environment)
        for poison in POISON:
            values = [event(account), poison, event(account)]
            account.poison.append(poison)
            await kafka.send(EVENTS, *values, partition=0, key=b"k")
        seen = await settle(stage, account, accounts, tmp_path)
        assert len(seen) == 2 * len(POISON)


async def test_killed_before_the_commit_of_storage_it_reads_again_and_sends_once(
    tmp_path: Path, kafka: Kafka, random: Random
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(consuming(tmp_path, kafka))
        receiver = await stack.enter_async_context(accounts.receiver(lambda: (0, 200)))
        await stage.api.subscribe(receiver.url)
        account = Account(stage.api.environment)
        with closing(sqlite3.connect(stage.consumer.database, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")  # nobody else can write now
            await stage.produce(account, 20, random)
            await until("it is held up", lambda: _is_behind(stage, 21))
            await stage.consumer.kill()
            writer.execute("ROLLBACK")
        assert not (await stage.look()).events
        await stage.consumer.start()
        seen = await settle(stage, account, accounts, tmp_path)
        assert len(seen) == 20


async def _is_behind(stage: Stage, count: int) -> bool:
    return sum(await stage.lags()) == count


async def is_uncommitted(kafka: Kafka) -> bool:
    return not await kafka.committed(EVENTS)


async def test_killed_before_the_commit_of_offsets_it_reads_again_and_sends_once(
    tmp_path: Path, kafka: Kafka, broker: Broker, random: Random
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(consuming(tmp_path, kafka))
        receiver = await stack.enter_async_context(accounts.receiver(lambda: (0, 200)))
        await stage.api.subscribe(receiver.url)
        account = Account(stage.api.environment)
        with closing(sqlite3.connect(stage.consumer.database, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            await stage.produce(account, 20, random)
            await until("it is held up", lambda: _is_behind(stage, 21))
            broker.server.freeze()
            stack.callback(broker.server.thaw)
            writer.execute("ROLLBACK")

        async def some_are_delivered() -> bool:
            stored = await stage.look()
            return bool(stored.events) and all(
                one.state == "succeeded" for one in stored.deliveries
            )

        await until("what it had fetched is delivered", some_are_delivered)
        await stage.consumer.kill()
        # What it has sent may stand in the frozen broker's buffers: it is not to be read any more.
        broker.server.kill()
        await asyncio.to_thread(broker.server.start)
        await until("the group is known again", lambda: is_uncommitted(kafka))
        await stage.consumer.start()
        seen = await settle(stage, account, accounts, tmp_path)
        assert len(seen) == 20


async def test_told_to_stop_under_load_it_leaves_no_attempt_interrupted(
    tmp_path: Path, kafka: Kafka, random: Random
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(consuming(tmp_path, kafka))
        manner = lambda: (random.uniform(0.2, 0.6), 200)  # noqa: E731 - one line
        receiver = await stack.enter_async_context(accounts.receiver(manner))
        await stage.api.subscribe(receiver.url)
        account = Account(stage.api.environment)
        producing = asyncio.create_task(stage.produce(account, 1000, random))
        await receiver.wait_for(50)
        assert await stage.consumer.terminate(15) == 0
        await producing
        attempts = (await stage.look()).attempts
        assert all(one.outcome != "interrupted" for one in attempts)
        await stage.consumer.start()
        seen = await settle(stage, account, accounts, tmp_path)
        assert len(seen) == len(account.published)


async def test_without_brokers_it_stays_and_says_so_and_its_end_does_not_wait_for_them(
    tmp_path: Path, kafka: Kafka, broker: Broker
) -> None:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(consuming(tmp_path, kafka))
        receiver = await stack.enter_async_context(Receiver(200))
        await stage.api.subscribe(receiver.url)
        account = Account(stage.api.environment)
        broker.server.kill()

        async def is_missed() -> bool:
            status, parts = await readiness(stage.consumer)
            wrong = {part for part, state in parts.items() if state != "ok"}
            return status == HTTPStatus.SERVICE_UNAVAILABLE and wrong == {"event source"}

        await until("it misses its brokers", is_missed, 60)
        await stage.api.publish("by-http")
        await asyncio.to_thread(broker.server.start)
        await stage.produce(account, 20, Random(1))  # noqa: S311 - to be repeated
        await receiver.wait_for(21, within=90)

        async def is_well() -> bool:
            return (await readiness(stage.consumer))[0] == HTTPStatus.OK

        await until("all is well again", is_well, 30)
        broker.server.freeze()
        stack.callback(broker.server.thaw)
        assert await stage.consumer.terminate(15) == 0


async def readiness(consumer: Up) -> tuple[int, Mapping[str, str]]:
    url = f"http://127.0.0.1:{consumer.ports[1]}/readyz"
    async with aiohttp.request("GET", url) as answer:
        return answer.status, (await answer.json())["parts"]


@pytest.fixture(params=["two consumers", "two workers of one"])
async def two(
    request: pytest.FixtureRequest, tmp_path: Path, kafka: Kafka, postgres: PostgresServer
) -> AsyncIterator[Stage]:
    """Run two processes that consume."""
    one = request.param == "two workers of one"
    options, count = (("--workers", "2"), 1) if one else ((), 2)
    async with (
        place_on(postgres) as place,
        consuming_together(tmp_path, kafka, place, *options, count=count) as stage,
    ):
        yield stage


async def test_of_two_that_consume_on_postgresql_one_is_killed_and_nothing_is_lost(
    two: Stage, tmp_path: Path, random: Random, tell: Callable[[str], None]
) -> None:
    accounts = Accounts()
    manner = lambda: (random.uniform(0, 0.02), 200)  # noqa: E731 - one line
    async with accounts.receiver(manner) as receiver:
        await two.api.subscribe(receiver.url)
        account = Account(two.api.environment)
        producing = asyncio.create_task(two.produce(account, 5000, random, every=50))
        publishing = asyncio.create_task(two.publish_beside(account, 200))
        await receiver.wait_for(500, within=60)
        await kill_one(two)
        killed_at = time.monotonic()
        seen = len(receiver.requests)
        await receiver.wait_for(seen + 500, within=60)
        tell(f"500 more requests {time.monotonic() - killed_at:.1f} s after the kill")
        await asyncio.gather(producing, publishing)
        if len(two.consumers) > 1:
            await two.consumer.start()
        requests = await settle(two, account, accounts, tmp_path)
        tell(f"{len(account.published)} events, {len(requests)} requests")
        assert len({one.message_id for one in requests}) == 5200


async def kill_one(two: Stage) -> None:
    """Kill one of two processes that consume."""
    if len(two.consumers) > 1:
        await two.consumer.kill()
    else:
        os.kill(two.consumer.workers[0], signal.SIGKILL)


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one", "two workers"])
async def test_on_postgresql_too_a_stop_under_load_leaves_no_attempt_interrupted(
    tmp_path: Path,
    kafka: Kafka,
    postgres: PostgresServer,
    random: Random,
    options: Sequence[str],
) -> None:
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(place_on(postgres))
        stage = await stack.enter_async_context(
            consuming_together(tmp_path, kafka, place, *options)
        )
        manner = lambda: (random.uniform(0.2, 0.6), 200)  # noqa: E731 - one line
        receiver = await stack.enter_async_context(accounts.receiver(manner))
        await stage.api.subscribe(receiver.url)
        account = Account(stage.api.environment)
        producing = asyncio.create_task(stage.produce(account, 1000, random))
        await receiver.wait_for(50)
        assert await stage.consumer.terminate(15) == 0
        await producing
        stopped = await place.stored()
        assert interruptions(stopped.attempts) == 0
        assert not any(one.held for one in stopped.deliveries)
        await stage.consumer.start()
        seen = await settle(stage, account, accounts, tmp_path)
        assert len(seen) == len(account.published)
