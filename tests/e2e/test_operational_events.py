"""Operational events from the platform's view: processes, receivers and kills that are real."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import evolve

from notification_core.signing.verification import verify_request
from tests.faults.place import ServerPlace
from tests.faults.stage import Api, JsonObject, Up, running
from tests.support.ports import free_ports
from tests.support.receivers import ReceivedRequest, Receiver
from tests.support.waiting import until

PAUSED, FAILED, DISABLED = "webhook-paused", "webhook-delivery-failed", "webhook-disabled"
BREAKER = {"WEBHOOKS_BREAKER_FAILURES": "3", "WEBHOOKS_BREAKER_PAUSE": "1h"}


def bodies(receiver: Receiver) -> list[JsonObject]:
    return [json.loads(request.body) for request in receiver.requests]


async def fails(_: ReceivedRequest) -> int:
    return 500


async def gone(_: ReceivedRequest) -> int:
    return 410


async def refusal(api: Api, path: str, body: JsonObject) -> str:
    async with api.session.post(f"{api.base}/environments/{path}", json=body) as response:
        assert response.status == HTTPStatus.BAD_REQUEST
        return await response.text()


def waiting(up: Up) -> int:
    """Return how many operational events are stored and not published."""
    with closing(sqlite3.connect(up.database)) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM operational_events")
    return int(count)


async def story(api: Api, platform: Api) -> None:
    """Let a customer's receivers fail, and see what the platform's webhook is sent of it."""
    async with Receiver() as alerts, Receiver(fails) as dead, Receiver(gone) as left:
        await platform.subscribe(alerts.url, events=[PAUSED, DISABLED, FAILED])
        paused = await api.subscribe(dead.url, retry={"max_retries": 9, "interval": "100ms"})
        await api.publish("order 1")
        (request,) = await alerts.wait_for(1)
        verify_request(request.body, request.headers, await platform.key(), now=datetime.now(UTC))
        body = json.loads(request.body)
        assert body.keys() == {"id", "type", "timestamp", "environment_id", "data"}
        assert (body["type"], body["environment_id"]) == (PAUSED, platform.environment)
        assert request.headers["webhook-id"] == f"msg_{body['id']}"
        data = body["data"]
        assert (data["environment_id"], data["webhook_id"]) == (api.environment, paused)
        assert data["consecutive_failures"] == 3
        disabled = await api.subscribe(left.url)
        await api.publish("order 2")
        await alerts.wait_for(3)
        others = {str(body["type"]): body["data"] for body in bodies(alerts)[1:]}
        assert others.keys() == {DISABLED, FAILED}
        for told in others.values():
            assert isinstance(told, dict)
            assert (told["environment_id"], told["webhook_id"]) == (api.environment, disabled)


async def test_a_webhook_of_the_platform_is_sent_what_happens_to_those_of_customers(
    tmp_path: Path,
) -> None:
    operational = str(uuid4())
    settings = {"OPERATIONAL_WEBHOOK_ENVIRONMENT": operational, **BREAKER}
    async with running(tmp_path, **settings) as (_, api):
        await story(api, evolve(api, environment=operational))


async def test_it_is_so_on_postgresql(place: ServerPlace, tmp_path: Path) -> None:
    operational = str(uuid4())
    settings = {"OPERATIONAL_WEBHOOK_ENVIRONMENT": operational, **BREAKER}
    async with running(tmp_path, place, **settings) as (_, api):
        await story(api, evolve(api, environment=operational))


async def test_a_webhook_of_the_platform_does_not_wait_for_kafka(tmp_path: Path) -> None:
    operational = str(uuid4())
    (nobody,) = free_ports(1)
    settings = {
        "OPERATIONAL_WEBHOOK_ENVIRONMENT": operational,
        "KAFKA_BROKERS": f"127.0.0.1:{nobody}",
        **BREAKER,
    }
    async with running(tmp_path, **settings) as (_, api):
        await story(api, evolve(api, environment=operational))


@pytest.mark.parametrize("count", [1, 20])
async def test_what_was_stored_before_a_kill_is_sent_after_it(tmp_path: Path, count: int) -> None:
    operational = str(uuid4())
    settings = {
        "OPERATIONAL_WEBHOOK_ENVIRONMENT": operational,
        # By then it is killed: what is stored meanwhile is not published.
        "WEBHOOKS_POLL_INTERVAL": "1m",
        "WEBHOOKS_MAX_RETRIES": "0",
        "WEBHOOKS_BREAKER_FAILURES": "0",
    }
    async with Receiver() as alerts, Receiver(fails) as dead:
        async with running(tmp_path, **settings) as (up, api):
            platform = evolve(api, environment=operational)
            await platform.subscribe(alerts.url, events=[FAILED])
            await api.subscribe(dead.url)
            await api.publish(*(f"order {number}" for number in range(count)))

            async def all_are_stored() -> bool:
                return waiting(up) == count

            await until("all is stored", all_are_stored)
            await up.kill()
            assert not alerts.requests
            up.settings = {**settings, "WEBHOOKS_POLL_INTERVAL": "1s"}
            await up.start()
            await alerts.wait_for(count)
            await until("all is delivered", up.is_done)
            assert waiting(up) == 0
        told = {str(body["data"]["event_id"]) for body in bodies(alerts)}  # type: ignore[index] # an object
        assert told == {f"order {number}" for number in range(count)}
        assert len({str(body["id"]) for body in bodies(alerts)}) == count


async def test_a_webhook_that_is_sent_them_makes_none_when_it_fails(tmp_path: Path) -> None:
    operational = str(uuid4())
    settings = {
        "OPERATIONAL_WEBHOOK_ENVIRONMENT": operational,
        "WEBHOOKS_MAX_RETRIES": "0",
        "WEBHOOKS_BREAKER_FAILURES": "0",
    }
    async with Receiver(fails) as both, running(tmp_path, **settings) as (up, api):
        platform = evolve(api, environment=operational)
        of_platform = await platform.subscribe(both.url, events=[FAILED])
        await api.subscribe(both.url)
        await api.publish("order 1")
        await both.wait_for(2)

        async def has_failed() -> bool:
            rows = await api.call_for_list(f"webhooks/{of_platform}/deliveries")
            return [row["state"] for row in rows] == ["failed"]

        await until("the alert has failed", has_failed)
        assert waiting(up) == 0
        await until("nothing waits", up.is_done)
        assert len(both.requests) == 2


async def test_no_other_environment_can_subscribe_and_nobody_can_publish_them(
    tmp_path: Path,
) -> None:
    operational = str(uuid4())
    async with running(tmp_path, OPERATIONAL_WEBHOOK_ENVIRONMENT=operational) as (_, api):
        webhook: JsonObject = {"name": "w", "url": "https://example.com/", "events": [PAUSED]}
        assert "Unknown event" in await refusal(api, f"{api.environment}/webhooks", webhook)
        for environment in (api.environment, operational):
            event: JsonObject = {"event": PAUSED, "data": {}}
            assert PAUSED in await refusal(api, f"{environment}/events", event)
        listed = await api.call_for_list("webhooks/events")
        assert PAUSED not in {one["name"] for one in listed}
        theirs = await api.call_for_list(f"webhooks/events?environment_id={operational}")
        assert [*theirs[: len(listed)]] == [*listed]
        assert {PAUSED, FAILED, DISABLED} < {one["name"] for one in theirs[len(listed) :]}
        others = await api.call_for_list(f"webhooks/events?environment_id={api.environment}")
        assert others == listed
        platform = evolve(api, environment=operational)
        async with Receiver() as receiver:
            webhook_id = await platform.subscribe(receiver.url, events=[PAUSED])
            await api.call("POST", f"webhooks/{webhook_id}/test", {})
            (request,) = await receiver.wait_for(1)
        assert json.loads(request.body)["data"]["consecutive_failures"] == 10
        document = await api.call("GET", "openapi.json")
        webhooks = document["webhooks"]
        assert isinstance(webhooks, dict)
        assert PAUSED in webhooks
