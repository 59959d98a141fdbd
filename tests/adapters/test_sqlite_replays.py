"""What a replay costs on SQLite: it must not grow with what the webhook has had."""

from datetime import UTC, datetime
from uuid import UUID

from notification_adapters.sql import SqlStorage
from notification_core.model.replay import NOT_ARRIVED, Replay, Selection
from tests.adapters.sql_storages import ENVIRONMENT_ID
from tests.adapters.sqlite_connections import plans
from tests.support.samples import a_webhook

ALWAYS = Selection(
    datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC), frozenset(NOT_ARRIVED)
)


async def test_no_statement_of_a_replay_walks_a_table(sqlite_storage: SqlStorage) -> None:
    storage = sqlite_storage
    now = datetime.now(UTC)
    webhook = a_webhook(environment_id=ENVIRONMENT_ID)
    await storage.webhooks.add(webhook, 10)
    replay = Replay(UUID(int=2), ENVIRONMENT_ID, webhook.webhook_id, ALWAYS, now)
    await storage.replays.add(replay)
    async with plans(storage) as lines:
        await storage.replays.running(100)
        await storage.replays.advance(replay, 1000, 1000)
        await storage.replays.count(ENVIRONMENT_ID, webhook.webhook_id, ALWAYS, 1000)
    on = [line.removeprefix("SEARCH ").removeprefix("SCAN ") for line in lines]
    assert "later USING INDEX deliveries_event (event_id=? AND environment_id=?)" in on
    assert "deliveries USING INDEX deliveries_waiting (webhook_id=?)" in on
    assert "replays USING INDEX replays_running" in on
    walked = [line for line in lines if line.startswith(("SCAN deliveries", "SCAN events"))]
    assert walked == []
