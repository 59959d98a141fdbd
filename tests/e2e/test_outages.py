"""What an operator is told while something is wrong: soon, and not a thousand times."""

import json
import re
from http import HTTPStatus
from pathlib import Path

from aiohttp import request

from tests.faults.stage import Api, Up, running
from tests.support.ports import free_ports
from tests.support.receivers import Receiver
from tests.support.waiting import until

EVENTS = 300


async def test_a_receiver_that_is_down_is_counted_each_time_and_said_a_few_times(
    tmp_path: Path,
) -> None:
    async with Receiver() as receiver:
        gone = receiver.url
    async with running(tmp_path, WEBHOOKS_MAX_RETRIES="0", WEBHOOKS_BREAKER_FAILURES="0") as (
        up,
        api,
    ):
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


async def test_one_receiver_that_hangs_moves_none_of_the_metrics_that_alerts_watch(
    tmp_path: Path,
) -> None:
    settings = {
        "WEBHOOKS_WRITE_TIMEOUT": "2s",
        "WEBHOOKS_MAX_RETRIES": "0",
        "WEBHOOKS_BREAKER_FAILURES": "0",
    }
    async with (
        Receiver("hang") as hanging,
        Receiver() as good,
        running(tmp_path, **settings) as (up, api),
    ):
        await api.subscribe(hanging.url)
        others = [Api(api.session, api.base) for _ in range(4)]
        for other in others:
            await other.subscribe(good.url)
        await api.publish(*(f"e{number}" for number in range(300)))
        for number, other in enumerate(others):
            await other.publish(f"other-{number}")
        status = f"http://127.0.0.1:{up.ports[1]}/status"

        async def is_behind() -> bool:
            async with request("GET", status) as response:
                oldest = (await response.json())["oldest_due_seconds"]
            failed = await up.metric("notification_deliveries_failed_total")
            return failed >= 4 and oldest is not None and oldest > 15

        await until("its deliveries have been due for long", is_behind)
        assert await up.metric("notification_oldest_due_delivery_age_seconds") < 5
        text = await up.metrics()
        waited = 'notification_first_attempt_delay_seconds_bucket{le="%s"}'
        assert _value(text, waited % "1.0") == _value(text, waited % "+Inf") >= 4
        assert _value(text, 'notification_environments_attempted{outcome="succeeded"}') == 4
        assert _value(text, 'notification_environments_attempted{outcome="failed"}') == 1


def _value(text: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


async def test_without_its_brokers_it_is_ready_and_delivers_what_is_published(
    tmp_path: Path,
) -> None:
    (nobody,) = free_ports(1)
    async with (
        Receiver() as receiver,
        running(tmp_path, KAFKA_BROKERS=f"127.0.0.1:{nobody}") as (up, api),
    ):
        await api.subscribe(receiver.url)
        await api.publish("event")
        await receiver.wait_for(1)

        async def is_told() -> bool:
            async with request("GET", f"http://127.0.0.1:{up.ports[1]}/readyz") as response:
                assert response.status == HTTPStatus.OK
                parts = (await response.json())["parts"]
                return "No broker can be reached" in parts["event source"]

        await until("it says that its brokers are unreachable", is_told)


async def _metrics(up: Up) -> str:
    async with request("GET", f"http://127.0.0.1:{up.ports[1]}/metrics") as response:
        return await response.text()
