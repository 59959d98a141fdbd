"""What an operator is told while something is wrong: soon, and not a thousand times."""

import json
from pathlib import Path

from aiohttp import request

from tests.faults.stage import Up, running
from tests.receivers import Receiver
from tests.waiting import until

EVENTS = 300


async def test_a_receiver_that_is_down_is_counted_each_time_and_said_a_few_times(
    tmp_path: Path,
) -> None:
    async with Receiver() as receiver:
        gone = receiver.url
    async with running(tmp_path, WEBHOOKS_MAX_RETRIES="0") as (up, api):
        webhook_id = await api.subscribe(gone)
        await api.publish(*(f"e{number}" for number in range(EVENTS)))

        async def has_failed() -> bool:
            return f"notification_deliveries_failed_total {EVENTS}.0" in await _metrics(up)

        await until("all have failed", has_failed)
        assert 'error_code="connect",outcome="failed"' in await _metrics(up)
        lines = [json.loads(line) for line in up.said().splitlines() if line.startswith("{")]
    (first, *others) = [one for one in lines if one["event"] == "delivery_failed"]
    assert (first["webhook_id"], first["count"]) == (webhook_id, 1)
    assert len(others) < 3


async def _metrics(up: Up) -> str:
    async with request("GET", f"http://127.0.0.1:{up.ports[1]}/metrics") as answer:
        return await answer.text()
