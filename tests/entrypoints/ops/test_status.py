"""``/status``: what the ops server says of how the system keeps up."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from attrs import define, field

from notification_adapters.memory import ManualClock
from notification_adapters.memory.state import MemoryState
from notification_adapters.memory.statistics import MemoryStatisticsStore
from notification_core.errors import StorageUnavailable
from notification_core.model.delivery import AttemptOutcome, ErrorCode
from notification_core.model.event import Source
from notification_core.ports.backlog import (
    MAX_COUNTED,
    MAX_WEBHOOKS,
    Backlog,
    BacklogSize,
    QueueLength,
)
from notification_entrypoints.observability.logging_observer import LoggingObserver
from notification_entrypoints.observability.rate_window import LastMinute
from notification_entrypoints.ops.server import Info, Readiness, ops_app
from notification_entrypoints.ops.status import (
    STATUS_WITHOUT_WEBHOOKS,
    StatusReport,
    add_status_page,
)
from notification_entrypoints.ops.webhook_ranking import RANKINGS, WebhookRanking

WORKER, ENVIRONMENT, WEBHOOK = uuid4(), uuid4(), uuid4()
IDS = {"environment_id": str(ENVIRONMENT), "webhook_id": str(WEBHOOK)}

Client = TestClient[web.Request, web.Application]


@define
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@define
class Measured(Backlog):
    """A backlog of a size that a test says."""

    size_now: BacklogSize | None = field(factory=lambda: BacklogSize(0, 0, 0, {}, ()))
    asked: int = 0
    ranked: int = 0
    looking: int = 0

    async def size(
        self, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> BacklogSize:
        assert (max_counted, max_webhooks) == (MAX_COUNTED, MAX_WEBHOOKS)
        self.asked += 1
        if self.size_now is None:
            raise StorageUnavailable("the disk is gone")
        return self.size_now

    async def longest(
        self, limit: int, max_counted: int = MAX_COUNTED, max_webhooks: int = MAX_WEBHOOKS
    ) -> Sequence[QueueLength]:
        assert (limit, max_counted, max_webhooks) == (10, MAX_COUNTED, MAX_WEBHOOKS)
        self.ranked += 1
        self.looking += 1
        assert self.looking == 1, "two looks at the same time"
        await asyncio.sleep(0)
        self.looking -= 1
        return [QueueLength(ENVIRONMENT, WEBHOOK, 7, is_exact=False)]

    async def longer_than(self, most: int) -> Collection[UUID]:
        raise AssertionError(most)


@define
class Ops:
    time: Time = field(factory=Time)
    backlog: Measured = field(factory=Measured)
    watch: LoggingObserver = field(init=False)
    report: StatusReport = field(init=False)
    state: MemoryState = field(factory=MemoryState)
    clock: ManualClock = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.watch = LoggingObserver("1", "", self.time)
        self.report = StatusReport(self.watch.last_minute, self.time)

    def opened(self, worker: UUID | None = WORKER) -> None:
        clock = ManualClock()
        self.state.counts(ENVIRONMENT, WEBHOOK, clock.now()).attempts.update(
            {AttemptOutcome.FAILED: 3, AttemptOutcome.SUCCEEDED: 1}
        )
        long_ago = clock.now() - timedelta(hours=2)
        counts = self.state.counts(ENVIRONMENT, uuid4(), long_ago)
        counts.attempts[AttemptOutcome.FAILED] = 9
        self.clock = clock
        ranking = WebhookRanking(self.backlog, MemoryStatisticsStore(self.state), clock)
        self.report.opened(self.backlog, ranking, lambda: worker)


@pytest.fixture
async def ops() -> Ops:
    return Ops()


@pytest.fixture
async def client(ops: Ops) -> AsyncIterator[Client]:
    info = Info("1", "", "test", "p", "127.0.0.1")
    app = ops_app(ops.watch, Readiness({}), info, stopping=asyncio.Event())
    add_status_page(app, ops.report)
    async with TestClient(TestServer(app)) as client:
        yield client


async def status(client: Client) -> Any:
    async with client.get("/status") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        return await response.json()


async def test_tells_what_waits_and_who_works(ops: Ops, client: Client) -> None:
    other = uuid4()
    ops.backlog.size_now = BacklogSize(12, 3, 2, {uuid4(): timedelta(seconds=1.5)}, {other}, 4)
    ops.opened()
    ops.time.now += 7
    assert await status(client) == {
        "waiting": 12,
        "waiting_is_exact": True,
        "claimed": 3,
        "webhooks_waiting": 2,
        "webhooks_paused": 4,
        "oldest_due_seconds": 1.5,
        "workers": sorted([str(WORKER), str(other)]),
        "dispatching": True,
        "last_minute": {
            "events": 0, "succeeded": 0, "failed": 0, "interrupted": 0, "seconds": 7.0,
        },
        "failing_webhooks": [{**IDS, "failed": 3, "succeeded": 1}],
        "longest_queues": [{**IDS, "waiting": 7, "waiting_is_exact": False}],
    }  # fmt: skip


async def test_a_count_that_was_cut_is_told_as_such(ops: Ops, client: Client) -> None:
    ops.backlog.size_now = BacklogSize(MAX_COUNTED, 0, 1, {}, frozenset())
    ops.opened(worker=None)
    told = await status(client)
    assert not told["waiting_is_exact"]
    assert told["oldest_due_seconds"] is None
    assert told["workers"] == []
    assert not told["dispatching"]


async def test_the_metrics_tell_what_waits_and_measure_it_seldom(ops: Ops, client: Client) -> None:
    ops.backlog.size_now = BacklogSize(12, 3, 2, {uuid4(): timedelta(seconds=1.5)}, ())
    ops.opened()
    ops.watch.observe_storage(partial(ops.report.size, 10.0))
    ops.watch.observe_webhooks(dict, lambda *_: False)
    for _ in range(3):
        async with client.get("/metrics") as response:
            assert "notification_oldest_due_delivery_age_seconds 1.5" in await response.text()
        ops.time.now += 4
    assert ops.backlog.asked == 1
    await status(client)
    assert ops.backlog.asked == 2, "who asks for the status gets what is so now"


async def test_what_was_done_is_counted_for_a_minute_and_then_forgotten(
    ops: Ops, client: Client
) -> None:
    ops.opened()
    ops.watch.events_ingested(Source.HTTP, new=5, duplicates=2)
    ops.watch.attempt_ended(AttemptOutcome.SUCCEEDED, None, timedelta(milliseconds=3))
    ops.time.now += 30
    ops.watch.attempt_ended(AttemptOutcome.FAILED, ErrorCode.TIMEOUT, timedelta(seconds=10))
    ops.watch.events_ingested(Source.HTTP, new=1, duplicates=0)
    ops.time.now += 29
    counted = (await status(client))["last_minute"]
    assert counted == {
        "events": 6, "succeeded": 1, "failed": 1, "interrupted": 0, "seconds": 59.0,
    }  # fmt: skip
    ops.time.now += 2
    counted = (await status(client))["last_minute"]
    assert counted == {
        "events": 1, "succeeded": 0, "failed": 1, "interrupted": 0, "seconds": 60,
    }  # fmt: skip


async def test_the_storage_is_asked_once_a_second_however_many_ask(
    ops: Ops, client: Client
) -> None:
    ops.opened()
    for _ in range(5):
        await status(client)
    assert ops.backlog.asked == 1
    ops.time.now += 1
    await status(client)
    assert ops.backlog.asked == 2


async def test_the_webhooks_are_looked_for_every_ten_seconds_at_most(
    ops: Ops, client: Client
) -> None:
    ops.opened()
    await asyncio.gather(*(status(client) for _ in range(5)))
    assert ops.backlog.ranked == 1
    await ops.clock.advance(9)
    await status(client)
    assert ops.backlog.ranked == 1
    await ops.clock.advance(2)
    await status(client)
    assert ops.backlog.ranked == 2


async def test_who_does_not_want_the_webhooks_does_not_have_them_looked_for(
    ops: Ops, client: Client
) -> None:
    ops.opened()
    async with client.get(STATUS_WITHOUT_WEBHOOKS) as response:
        told = await response.json()
    assert "waiting" in told
    assert not told.keys() & set(RANKINGS)
    assert ops.backlog.ranked == 0


async def test_while_it_starts_or_storage_is_unavailable_it_says_so(
    ops: Ops, client: Client
) -> None:
    async with client.get("/status") as response:
        assert response.status == 503
        assert "starting" in (await response.json())["message"]
    ops.backlog.size_now = None
    ops.opened()
    async with client.get("/status") as response:
        assert response.status == 503
        assert (await response.json())["message"] == "the disk is gone"


def test_a_place_in_the_ring_is_taken_over_by_a_later_minute() -> None:
    time = Time()
    done = LastMinute(time)
    done.add("x", 5)
    time.now += 120
    done.add("x")
    assert done.total("x") == 1
