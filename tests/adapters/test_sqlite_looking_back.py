"""Looking back costs what is shown: no statement walks a table, however long it has grown."""

import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from notification_adapters.sql import SqlStorage
from notification_core.model.delivery import AttemptOutcome, DeliveryState
from notification_core.model.read_models import (
    AttemptCriteria,
    DeliveryCriteria,
    EventCriteria,
    EventPlace,
)
from tests.adapters.sql_storages import database

ENVIRONMENT, WEBHOOK, ROW = UUID(int=1), UUID(int=2), UUID(int=3)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

Read = Callable[[SqlStorage], Awaitable[object]]

READS: dict[str, Read] = {
    "a page of a log": lambda storage: storage.logs.page(ENVIRONMENT, WEBHOOK, 50, ROW),
    "errors of a log": lambda storage: storage.logs.page(
        ENVIRONMENT, WEBHOOK, 50, ROW, AttemptCriteria(outcome=AttemptOutcome.FAILED)
    ),
    "answers of a log": lambda storage: storage.logs.page(
        ENVIRONMENT, WEBHOOK, 50, ROW, AttemptCriteria(http_code=500, since=NOW, until=NOW)
    ),
    "what a webhook last did": lambda storage: storage.logs.webhooks(ENVIRONMENT, WEBHOOK),
    "what all webhooks last did": lambda storage: storage.logs.webhooks(ENVIRONMENT),
    "deliveries": lambda storage: storage.history.of_webhook(ENVIRONMENT, WEBHOOK, 50, ROW),
    "some deliveries": lambda storage: storage.history.of_webhook(
        ENVIRONMENT, WEBHOOK, 50, ROW, DeliveryCriteria(DeliveryState.FAILED, "job-created", 500)
    ),
    "an event's deliveries": lambda storage: storage.history.of_event(ENVIRONMENT, "e", 50, ROW),
    "events": lambda storage: storage.history.events(ENVIRONMENT, 50, EventPlace(NOW, "e")),
    "some events": lambda storage: storage.history.events(
        ENVIRONMENT, 50, EventPlace(NOW, "e"), EventCriteria("job-created", NOW, NOW)
    ),
}


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the statements that read, with their values in them, as the connections run them."""
    made: list[str] = []
    connect = sqlite3.connect

    def note(text: str) -> None:
        if text.startswith("SELECT"):
            made.append(text)

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(note)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    return made


@pytest.fixture
def storage(statements: list[str], sqlite_storage: SqlStorage) -> SqlStorage:
    """Return an empty storage of which no statement has been noted yet."""
    statements.clear()
    return sqlite_storage


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_every_table_is_searched_by_an_index(
    storage: SqlStorage, statements: list[str], tmp_path: Path, read: Read
) -> None:
    await read(storage)
    plans = [line for text in statements for line in plan(tmp_path, text)]
    assert any(line.startswith("SEARCH") for line in plans)
    assert [line for line in plans if re.match(r"SCAN (?!anon_1|\(subquery|CONSTANT)", line)] == []


async def test_the_errors_of_a_log_are_found_by_their_own_index(
    storage: SqlStorage, statements: list[str], tmp_path: Path
) -> None:
    for name in ("errors of a log", "what all webhooks last did"):
        statements.clear()
        await READS[name](storage)
        plans = "\n".join(line for text in statements for line in plan(tmp_path, text))
        assert "attempts_errors (webhook_id=?" in plans


async def test_events_are_found_in_their_order(
    storage: SqlStorage, statements: list[str], tmp_path: Path
) -> None:
    await READS["events"](storage)
    assert plan(tmp_path, statements[0])[:3] == [
        "CO-ROUTINE anon_1",
        "SEARCH events USING INDEX events_environment (environment_id=? AND stored_at<?)",
        "SCAN anon_1",
    ]


def plan(folder: Path, text: str) -> Sequence[str]:
    """Return how SQLite would go about a statement."""
    with closing(sqlite3.connect(database(folder))) as connection:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")]
