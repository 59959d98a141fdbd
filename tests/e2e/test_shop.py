"""A shop brings its own event types: its catalogue, from the file to its receivers."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notification_entrypoints.commands.exit_codes import Exit
from tests.faults.stage import Api, running
from tests.faults.verification import verifies
from tests.kafka.topics import Kafka
from tests.support.receivers import Receiver

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SHOP = EXAMPLES / "shop.yaml"
ORDER = {
    "order_id": "1018",
    "total": {"amount": 3, "currency": "EUR"},
    "lines": [{"sku": "CUP", "quantity": 1}],
}
WRONG = {**ORDER, "total": {"amount": 3, "currency": "XXX"}}


def placed(event_id: str, data: Mapping[str, Any] = ORDER) -> dict[str, Any]:
    return {"event": "order.placed", "event_id": event_id, "data": data}


async def publish(api: Api, body: object) -> tuple[int, Any]:
    url = f"{api.base}/environments/{api.environment}/events"
    async with api.session.post(url, json=body) as response:
        return response.status, await response.json()


async def command(*arguments: str, **variables: str) -> tuple[int | None, str]:
    """Run the command line; return how it ended and what it printed."""
    program = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


async def test_a_shop_defines_subscribes_publishes_and_is_warned(tmp_path: Path) -> None:
    async with running(tmp_path, EVENT_CATALOGUE=str(SHOP)) as (_, api), Receiver() as receiver:
        types = await api.call_for_list("webhooks/events")
        assert [each["name"] for each in types] == ["order.placed", "order.shipped", "order.sent"]
        assert [each.get("deprecated", False) for each in types] == [False, False, True]
        document = await api.call("GET", "openapi.json")
        assert list(document["webhooks"]) == [each["name"] for each in types]  # type: ignore[call-overload]  # it is an object

        webhook_id = await api.subscribe(receiver.url, events=["order.placed", "order.sent"])
        status, answered = await publish(api, [placed("right"), placed("wrong", WRONG)])
        assert status == 202
        assert "warnings" not in answered[0]
        assert [warning["field"] for warning in answered[1]["warnings"]] == ["data.total.currency"]
        await receiver.wait_for(2)
        await api.call("POST", f"webhooks/{webhook_id}/test", {"event": "order.sent"})
        requests = await receiver.wait_for(3)
        bodies = [json.loads(request.body) for request in requests]
        assert {body["type"] for body in bodies} == {"order.placed", "order.sent"}
        assert bodies[-1]["data"] == {"order_id": "1017"}
        key = await api.key()
        assert all(verifies(request, key) for request in requests)

        where = {"NOTIFICATION_API_URL": api.base}
        code, printed = await command("events", "types", **where)
        assert code == Exit.OK
        assert "order.shipped" in printed
        arguments = ("--environment", api.environment, "--event", "order.placed", "--data", "{}")
        code, printed = await command("publish", *arguments, **where)
        assert (code, "1 published" in printed) == (Exit.OK, True)
        assert "data.order_id: This field is missing." in printed


async def test_a_shop_rejects_what_does_not_fit(tmp_path: Path) -> None:
    chosen = {"EVENT_CATALOGUE": str(SHOP), "EVENT_VALIDATION": "reject"}
    async with running(tmp_path, **chosen) as (_, api), Receiver() as receiver:
        await api.subscribe(receiver.url, events=["order.placed"])
        status, refused = await publish(api, [placed("a"), placed("b", WRONG)])
        assert status == 400
        assert [detail["field"] for detail in refused["details"]] == ["[1].data.total.currency"]
        assert (await publish(api, [placed("a")]))[0] == 202
        (request,) = await receiver.wait_for(1)
        assert json.loads(request.body)["id"] == "a"


async def test_a_shops_orders_come_from_its_own_topic(kafka: Kafka, tmp_path: Path) -> None:
    kafka.group = "notification-management"
    chosen = {
        "EVENT_CATALOGUE": str(SHOP),
        "EVENT_VALIDATION": "reject",
        "KAFKA_TOPICS": "orders",
        "KAFKA_BROKERS": kafka.brokers,
        "KAFKA_TOPIC_PREFIX": kafka.prefix,
        "KAFKA_CONSUMER_FETCH_BYTES": "1",
    }
    async with running(tmp_path, **chosen) as (_, api), Receiver() as receiver:
        await api.subscribe(receiver.url, events=["order.placed"])
        of = {"environment_id": api.environment}
        wrong = json.dumps({**placed("wrong", WRONG), **of}).encode()
        await kafka.send("orders", wrong, json.dumps({**placed("right"), **of}).encode())
        (request,) = await receiver.wait_for(1)
        assert json.loads(request.body)["id"] == "right"
        (letter,) = await kafka.read("notification-dead-letters", 1)
        assert letter.value == wrong
        reason = (dict(letter.headers)["dead-letter-reason"] or b"").decode()
        assert reason.startswith("invalid_data: data.total.currency: ")


async def test_a_shop_embeds_the_library_with_a_catalogue_of_its_own(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        script = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / "embed_shop.py"), str(tmp_path), receiver.url),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await asyncio.wait_for(script.communicate(), 60)
        assert script.returncode == 0
        assert printed.decode().startswith("data.amount: ")
        (request,) = receiver.requests
        assert json.loads(request.body)["data"] == {"order_id": "1017", "amount": 24.9}


async def test_a_catalogue_that_is_wrong_stops_the_start_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP.read_text().replace("currency: EUR }", "currency: XXX }", 1))
    variables = {"EVENT_CATALOGUE": str(file)}
    for arguments in (("up", "--data", str(tmp_path / "data")), ("doctor",)):
        code, printed = await command(*arguments, **variables)
        assert code == Exit.SETTINGS
        said = " ".join(printed.split())
        assert "EVENT_CATALOGUE" in said
        assert "line 18" in said
        assert "The example does not fit its schema" in said
