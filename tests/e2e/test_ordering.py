"""A webhook that is ordered, from its user's view: real processes, a real receiver, a real kill."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.stage import Api, JsonObject, running
from tests.support.receivers import ReceivedRequest, Receiver
from tests.support.waiting import until


def names_in(requests: Sequence[ReceivedRequest]) -> Sequence[str]:
    return [json.loads(request.body)["id"] for request in requests]


async def states_of(api: Api, webhook_id: str) -> Mapping[str, JsonObject]:
    deliveries = await api.call_for_list(f"webhooks/{webhook_id}/deliveries")
    return {str(row["event_id"]): row for row in deliveries}


async def test_a_failure_holds_up_its_key_alone_and_that_is_shown(tmp_path: Path) -> None:
    failing = True

    async def respond(request: ReceivedRequest) -> int:
        is_first = json.loads(request.body)["id"] == "order 1: placed"
        return 500 if is_first and failing else 200

    async with running(tmp_path) as (up, api), Receiver(respond) as receiver:
        retry = {"max_retries": 5, "interval": "1s"}
        webhook_id = await api.subscribe(receiver.url, ordered=True, retry=retry)
        assert (await api.call("GET", f"webhooks/{webhook_id}"))["ordered"] is True
        await api.publish("order 1: placed", "order 1: paid", key="1")
        await api.publish("order 2: placed", key="2")
        await api.publish("no order")
        await receiver.wait_for(3)
        states = await states_of(api, webhook_id)
        waiting = states["order 1: paid"]
        assert (waiting["state"], waiting["held"], waiting["ordering_key"]) == (
            "pending",
            True,
            "1",
        )
        assert "next_attempt_at" not in waiting
        assert "held" not in states["order 1: placed"]
        event = await api.call("GET", f"environments/{api.environment}/events/order 1: paid")
        assert event["ordering_key"] == "1"
        assert set(names_in(receiver.requests)) == {
            "order 1: placed",
            "order 2: placed",
            "no order",
        }
        failing = False
        await until("all is delivered", up.is_done)
    assert names_in(receiver.requests)[-2:] == ["order 1: placed", "order 1: paid"]


async def test_a_line_goes_on_after_a_kill_and_all_is_released_once_it_is_not_ordered(
    tmp_path: Path,
) -> None:
    names = [f"step {number}" for number in range(6)]
    failing = True

    async def respond(request: ReceivedRequest) -> int:
        return 500 if failing and json.loads(request.body)["id"] == names[1] else 200

    async def all_have_come() -> bool:
        return set(names_in(receiver.requests)) == {*names}

    async with running(tmp_path) as (up, api), Receiver(respond) as receiver:
        retry = {"max_retries": 20, "interval": "1s"}
        webhook_id = await api.subscribe(receiver.url, ordered=True, retry=retry)
        await api.publish(*names, key="a")
        await receiver.wait_for(2)
        await up.kill()
        await up.start()
        await receiver.wait_for(3)
        assert set(names_in(receiver.requests)) == set(names[:2])
        await api.change(webhook_id, ordered=None)
        await until("what waited is sent", all_have_come)
        failing = False
        await until("all is delivered", up.is_done)
