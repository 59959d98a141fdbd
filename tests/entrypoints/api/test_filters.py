"""Filters over the API: tried on what is stored, then set, and what they keep back."""

from typing import Any
from uuid import uuid4

import pytest

from tests.entrypoints.api_examples import ANOTHER, DRAFT, EVENT, create, publish
from tests.entrypoints.api_services import Backstage, log_success
from tests.entrypoints.checked_api import ApiResponse, CheckedClient

FAILED = {
    "properties": {"data": {"required": ["status"], "properties": {"status": {"const": "failed"}}}}
}
PLACE = "filter.properties.data.properties.status.const"


def event(event_id: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, **EVENT, "data": {"status": status}, **fields}


async def attempt(api: CheckedClient, webhook: dict[str, Any], **fields: Any) -> ApiResponse:
    """Try a filter."""
    return await api.post(f"/webhooks/{webhook['webhook_id']}/filter-trials", fields)


async def test_a_filter_keeps_events_back_visibly_and_a_redelivery_is_sent(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api, {**DRAFT, "filter": FAILED})
    assert webhook["filter"] == FAILED
    await publish(api, [event("bad", "failed"), event("good", "succeeded")])
    path = f"/webhooks/{webhook['webhook_id']}/deliveries"
    deliveries = {each["event_id"]: each for each in (await api.get(path)).json}
    assert deliveries["bad"]["state"] == "pending"
    assert deliveries["good"]["state"] == "skipped"
    assert deliveries["good"]["reason"] == "filter_not_matched"
    assert (await log_success(stage)).event_id == "bad"
    path = f"/deliveries/{deliveries['good']['delivery_id']}/retry"
    retried = await api.call("POST", path)
    assert (retried.status, retried.json["state"]) == (202, "pending")
    assert (await log_success(stage)).event_id == "good"


async def test_a_test_is_sent_whatever_the_filter_says(api: CheckedClient) -> None:
    webhook = await create(api, {**DRAFT, "filter": {"not": {}}})
    tested = await api.post(f"/webhooks/{webhook['webhook_id']}/test", {})
    assert (tested.status, tested.json["outcome"]) == (200, "succeeded")


class TestTrials:
    async def test_it_says_of_the_latest_events_which_match_and_where_others_do_not(
        self, api: CheckedClient
    ) -> None:
        webhook = await create(api)
        for number, status in enumerate(["failed", "succeeded", "failed"]):
            await publish(api, event(f"job-{number}", status))
        response = await attempt(api, webhook, filter=FAILED)
        assert (response.status, response.json["tried"], response.json["matched"]) == (200, 3, 2)
        results = response.json["results"]
        assert [each["event_id"] for each in results] == ["job-2", "job-1", "job-0"]
        assert results[0] == {
            "event_id": "job-2",
            "type": "job-completed",
            "matched": True,
            "errors": [],
        }
        assert results[1]["errors"] == [
            {"field": "data.status", "message": f"This is not what {PLACE} asks for."}
        ]
        latest = await attempt(api, webhook, filter=FAILED, limit=1)
        assert (latest.json["tried"], latest.json["matched"]) == (1, 1)
        assert "filter" not in (await api.get(f"/webhooks/{webhook['webhook_id']}")).json

    async def test_only_events_of_its_environment_and_types_are_tried(
        self, api: CheckedClient
    ) -> None:
        webhook = await create(api)
        await create(api, environment=ANOTHER)
        await create(api, {**DRAFT, "events": ["job-created"]})
        await publish(api, [event("mine", "failed"), event("other", "failed", event="job-created")])
        await publish(api, event("theirs", "failed"), ANOTHER)
        response = await attempt(api, webhook, filter={})
        assert [each["event_id"] for each in response.json["results"]] == ["mine"]

    @pytest.mark.parametrize(
        ("fields", "where"),
        [
            ({}, "filter"),
            ({"filter": {}, "limit": 101}, "limit"),
            ({"filter": {}, "limit": 0}, "limit"),
            ({"filter": True}, "filter"),
            ({"filter": {"uniqueItems": True}}, "filter.uniqueItems"),
            ({"filter": {"required": "data"}}, "filter.required"),
        ],
    )
    async def test_what_is_wrong_with_it_is_said_with_the_place(
        self, api: CheckedClient, fields: dict[str, Any], where: str
    ) -> None:
        response = await attempt(api, await create(api), **fields)
        assert (response.status, response.json["error_code"]) == (400, 1100)
        assert response.wrong_fields == {where}

    async def test_an_unknown_webhook_is_not_found(self, api: CheckedClient) -> None:
        response = await attempt(api, {"webhook_id": str(uuid4())}, filter={})
        assert response.status == 404
