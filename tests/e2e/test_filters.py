"""A webhook with a filter, from its user's view: real processes, a real receiver, a real kill."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path

import pytest
from attrs import evolve

from tests.faults.place import place_on
from tests.faults.stage import TYPE, Api, JsonObject, event_named, running
from tests.support.receivers import Receiver

FILTER: JsonObject = {
    "properties": {
        "type": {"const": TYPE},
        "data": {"required": ["name"], "properties": {"name": {"pattern": "^wanted"}}},
    }
}
SKIPPED = ("skipped", "filter_not_matched")


async def became(api: Api, webhook_id: str) -> Mapping[str, tuple[object, object]]:
    deliveries = await api.call_for_list(f"webhooks/{webhook_id}/deliveries")
    return {str(row["event_id"]): (row["state"], row.get("reason")) for row in deliveries}


def received_by(receiver: Receiver) -> set[str]:
    return {json.loads(request.body)["id"] for request in receiver.requests}


async def story(api: Api, receiver: Receiver) -> str:
    """Try a filter, set it, publish, and look at what was skipped; return the webhook's id."""
    webhook_id = await api.subscribe(receiver.url)
    await api.publish("wanted before", "other before")
    await receiver.wait_for(2)
    trial = await api.call("POST", f"webhooks/{webhook_id}/filter-trials", {"filter": FILTER})
    assert (trial["tried"], trial["matched"]) == (2, 1)
    await api.change(webhook_id, filter=FILTER)
    await api.publish("wanted after", "other after", "another after")
    await receiver.wait_for(3)
    assert received_by(receiver) == {"wanted before", "other before", "wanted after"}
    states = await became(api, webhook_id)
    assert {states["other after"], states["another after"]} == {SKIPPED}
    return webhook_id


async def test_what_does_not_match_is_skipped_seen_and_replayed(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api), Receiver() as receiver:
        webhook_id = await story(api, receiver)
        (one,) = [
            row
            for row in await api.call_for_list(f"webhooks/{webhook_id}/deliveries")
            if row["event_id"] == "other after"
        ]
        await api.call("POST", f"deliveries/{one['delivery_id']}/retry")
        await receiver.wait_for(4)
        assert "other after" in received_by(receiver)
        replay: JsonObject = {"since": "2020-01-01T00:00:00Z", "states": ["skipped"]}
        await api.call("POST", f"webhooks/{webhook_id}/replays", replay)
        await receiver.wait_for(5)
        assert "another after" in received_by(receiver)


@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
async def test_a_skip_is_as_durable_as_its_event(
    storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with AsyncExitStack() as stack:
        place = None
        if storage == "postgres":
            postgres = request.getfixturevalue("postgres")
            place = await stack.enter_async_context(place_on(postgres))
        receiver = await stack.enter_async_context(Receiver())
        async with running(tmp_path, place) as (up, api):
            webhook_id = await story(api, receiver)
            environment = api.environment
            events = [event_named(f"other {number}") for number in range(100)]
            assert await api.try_to_publish(events) == HTTPStatus.ACCEPTED
            await up.kill()
        async with running(tmp_path, place) as (_, again):
            api = evolve(again, environment=environment)
            path = f"webhooks/{webhook_id}/deliveries"
            assert len(await api.call_for_list(f"{path}?state=skipped&limit=100")) == 100
            await api.publish("other last", "wanted last")
            await receiver.wait_for(4)
            assert (await became(api, webhook_id))["other last"] == SKIPPED
        sent = received_by(receiver)
        assert sent == {"wanted before", "other before", "wanted after", "wanted last"}
