"""What a replay costs on SQLite: it must not grow with what the webhook has had."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiosqlite
import pytest
import sqlalchemy as sa

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite
from notification_core.ids import IdGenerator
from notification_core.replay import NOT_ARRIVED, Replay, Selection
from notification_core.webhooks import Webhook
from tests.adapters.sqlite_files import CIPHER, ENVIRONMENT_ID

ALWAYS = Selection(
    datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC), frozenset(NOT_ARRIVED)
)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqlStorage]:
    path = tmp_path / "replays.sqlite"
    await migrate_sqlite(path, CIPHER)
    clock = SystemClock()
    async with open_sqlite(path, CIPHER, clock, IdGenerator(clock)) as storage:
        yield storage


async def _plans(storage: SqlStorage, replay: Replay) -> Sequence[str]:
    """Return how SQLite reads for what is done with a replay, statement by statement."""
    said: list[tuple[str, Any]] = []

    def note(*happened: Any) -> None:
        _, _, statement, values, *_ = happened
        said.append((statement, values))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        key = replay.environment_id, replay.webhook_id
        await storage.replays.running(100)
        await storage.replays.advance(replay, 1000, 1000)
        await storage.replays.count(*key, replay.selection, 1000)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    async with storage.database.reading() as connection:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        plans = [
            row[3]
            for statement, values in said
            if statement.startswith("SELECT")
            for row in await driver.execute_fetchall(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    return [line for line in plans if line.startswith(("SEARCH", "SCAN"))]


async def test_no_statement_of_a_replay_walks_a_table(storage: SqlStorage) -> None:
    now = datetime.now(UTC)
    webhook = Webhook(
        UUID(int=1), ENVIRONMENT_ID, "n", "https://a.example/", frozenset({"a"}), now, now
    )
    await storage.webhooks.add(webhook, 10)
    replay = Replay(UUID(int=2), ENVIRONMENT_ID, webhook.webhook_id, ALWAYS, now)
    await storage.replays.add(replay)
    plans = await _plans(storage, replay)
    on = [line.removeprefix("SEARCH ").removeprefix("SCAN ") for line in plans]
    assert "later USING INDEX deliveries_event (event_id=? AND environment_id=?)" in on
    assert "deliveries USING INDEX deliveries_waiting (webhook_id=?)" in on
    assert "replays USING INDEX replays_running" in on
    walked = [line for line in plans if line.startswith(("SCAN deliveries", "SCAN events"))]
    assert walked == []
