"""A claim on SQLite costs what it takes, however long the queues are that it skips."""

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from notification_adapters.memory import ManualClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.sqlite import open_sqlite
from notification_adapters.sql.sqlite.claims import (
    BLOCKED,
    DUE,
    FRESH,
    NEXT_DUE,
    QUEUES,
    UNSENDABLE,
)
from notification_adapters.sql.sqlite.results import OVERDUE
from notification_core.concurrency.ids import IdGenerator
from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import Claim
from tests.adapters.sql_storages import database
from tests.adapters.sqlite_connections import Steps, counted_steps
from tests.contracts.harness import LEASE, TYPE
from tests.support.postgres_server import CIPHER
from tests.support.sqlite_template import make_sqlite

ENVIRONMENT = UUID(int=7)
WORKER = uuid4()
MANY = 100_000


@pytest.fixture
async def counted(tmp_path: Path) -> AsyncIterator[tuple[SqlStorage, Steps, ManualClock]]:
    """Open a storage that counts its work, with a clock."""
    clock = ManualClock()
    await make_sqlite(database(tmp_path))
    with counted_steps() as steps:
        async with open_sqlite(database(tmp_path), CIPHER, clock, IdGenerator(clock)) as storage:
            yield storage, steps, clock


async def _webhook(storage: SqlStorage, clock: ManualClock, number: int) -> Webhook:
    now = clock.now()
    webhook = Webhook(
        UUID(int=number), ENVIRONMENT, "n", "https://a.example.com/", frozenset({TYPE}), now, now
    )
    await storage.webhooks.add(webhook, most=1000)
    return webhook


def _queue(path: Path, webhook: Webhook, count: int) -> None:
    """Make a queue so long by SQL, which takes seconds."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO events (event_id, environment_id, type, occurred_at, body, stored_at) "
            "VALUES ('e-1', ?, ?, 0, x'7b7d', 0) ON CONFLICT DO NOTHING",
            (ENVIRONMENT.hex, TYPE),
        )
        connection.execute(
            """
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?3)
            INSERT INTO deliveries (
              delivery_id, environment_id, webhook_id, event_id, state, due_at, attempt,
              failures, interruptions, created_at, event_stored_at
            )
            SELECT substr(?1, 25) || printf('%024x', n), ?2, ?1, 'e-1', 'pending', n, 0, 0, 0, n, n
            FROM n WHERE true ON CONFLICT DO NOTHING
            """,
            (webhook.webhook_id.hex, ENVIRONMENT.hex, count),
        )
        counted = "SELECT count(*) FROM deliveries WHERE webhook_id = ?"
        assert connection.execute(counted, (webhook.webhook_id.hex,)).fetchone() == (count,)


def _pause(path: Path, webhook: Webhook) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO webhook_health (webhook_id, environment_id, failures, since, first_log_id,"
            " paused_at, pause_us, next_probe_at, fresh_probe_at)"
            " VALUES (?1, ?2, 10, 0, ?1, 0, 1, 0, 0)",
            (webhook.webhook_id.hex, webhook.environment_id.hex),
        )


async def _claim(storage: SqlStorage, **bounds: Any) -> int:
    claim = Claim(worker=WORKER, lease=LEASE, limit=10, limit_bytes=1 << 20, new_webhook_limit=100)
    return len((await storage.deliveries.acquire(evolve(claim, **bounds))).deliveries)


async def test_a_hundred_thousand_deliveries_that_are_skipped_cost_a_claim_nothing(
    counted: tuple[SqlStorage, Steps, ManualClock], tmp_path: Path
) -> None:
    storage, steps, clock = counted
    dead, well = await _webhook(storage, clock, 1), await _webhook(storage, clock, 2)
    _queue(database(tmp_path), dead, 30)
    _queue(database(tmp_path), well, 1000)
    bounds = {"webhook_limits": {dead.webhook_id: 0}, "new_webhook_limit": 10}
    assert await _claim(storage, **bounds) == 10
    few = await _work(_claim(storage, **bounds), steps)
    _queue(database(tmp_path), dead, MANY)
    assert await _work(_claim(storage, **bounds), steps) <= few + 3
    paused = evolve(dead, version=2, disabled_until=clock.now() + LEASE)
    await storage.webhooks.replace(paused)
    assert await _work(_claim(storage, new_webhook_limit=10), steps) <= few + 3


@pytest.mark.parametrize("held_back", ["rate limit", "pause"])
async def test_a_hundred_thousand_that_wait_for_their_webhook_cost_the_others_nothing(
    counted: tuple[SqlStorage, Steps, ManualClock], tmp_path: Path, held_back: str
) -> None:
    storage, steps, clock = counted
    slow, well = await _webhook(storage, clock, 1), await _webhook(storage, clock, 2)
    _queue(database(tmp_path), slow, 30)
    _queue(database(tmp_path), well, 1000)
    if held_back == "rate limit":
        await storage.webhooks.replace(evolve(slow, version=2, rate_limit=1))
    else:
        _pause(database(tmp_path), slow)
    assert await _claim(storage) == 10
    clock.jump(2 * LEASE)
    # The first one takes what may be sent now, one request or a probe, and the second one none.
    with_one = await _work(_claim(storage), steps)
    few = await _work(_claim(storage), steps)
    _queue(database(tmp_path), slow, MANY)
    assert await _work(_claim(storage), steps) <= few + 3
    clock.jump(2 * LEASE)
    assert await _work(_claim(storage), steps) <= with_one + 3


async def test_taking_from_a_hundred_thousand_costs_what_is_taken(
    counted: tuple[SqlStorage, Steps, ManualClock], tmp_path: Path
) -> None:
    storage, steps, clock = counted
    webhook = await _webhook(storage, clock, 1)
    _queue(database(tmp_path), webhook, 100)
    few = await _work(_claim(storage, limit=50), steps)
    _queue(database(tmp_path), webhook, MANY)
    # 100,000 rows are 6,800 steps of SQLite, 100 are 6,490; counted in whole hundreds.
    assert await _work(_claim(storage, limit=50), steps) <= few + 4


async def test_looking_for_the_longest_queues_costs_what_may_be_counted(
    counted: tuple[SqlStorage, Steps, ManualClock], tmp_path: Path
) -> None:
    storage, steps, clock = counted
    dead, well = await _webhook(storage, clock, 1), await _webhook(storage, clock, 2)
    _queue(database(tmp_path), well, 10)

    async def look() -> int:
        first, second = await storage.backlog.longest(2, max_counted=100)
        assert (first.webhook_id, first.waiting, first.is_exact) == (dead.webhook_id, 100, False)
        assert (second.webhook_id, second.waiting, second.is_exact) == (well.webhook_id, 10, True)
        return 2

    _queue(database(tmp_path), dead, 1_000)
    few = await _work(look(), steps)
    _queue(database(tmp_path), dead, MANY)
    assert await _work(look(), steps) <= few + 3


async def _work(claiming: Awaitable[int], steps: Steps) -> int:
    """Return the work of a claim that finds something."""
    steps.hundreds = 0
    assert await claiming > 0
    return steps.hundreds


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (QUEUES, ("", 1000)),
        (DUE, ('["a"]', 10, 0)),
        (NEXT_DUE, ('["a"]', 0)),
        (BLOCKED, ("", 1000, 0, 0)),
        (FRESH, ('["a"]', 8, 0)),
        (UNSENDABLE, ('["a"]', 10, 0, 0, 0, "a")),
        (OVERDUE, ('["a"]', 0, 10)),
    ],
)
async def test_no_statement_walks_the_deliveries(
    tmp_path: Path, statement: str, values: tuple[object, ...]
) -> None:
    await make_sqlite(database(tmp_path))
    with closing(sqlite3.connect(database(tmp_path))) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    lines = [row[3] for row in plan if re.match(r"(SEARCH|SCAN) (deliveries|d)\b", row[3])]
    assert lines
    assert [line for line in lines if not line.startswith("SEARCH")] == []


async def test_an_idle_claim_does_not_wait_for_a_writer(
    counted: tuple[SqlStorage, Steps, ManualClock],
) -> None:
    storage, _, clock = counted
    async with storage.deliveries.ingesting():
        assert await _claim(storage) == 0
        assert (await storage.deliveries.reap([], LEASE)).count == 0
        assert (await storage.deliveries.cancel_unsendable(10, clock.now())).count == 0
