"""What a webhook last did: shown with it, and told apart by its ETag, but no change of it."""

from typing import Any

from tests.entrypoints.api_examples import DRAFT, EVENT, WEBHOOKS, create, publish
from tests.entrypoints.api_services import (
    Backstage,
    log_gone,
    log_gone_of,
    log_success,
    log_success_of,
)
from tests.entrypoints.checked_api import CheckedClient


def path_of(webhook: dict[str, Any]) -> str:
    return f"/webhooks/{webhook['webhook_id']}"


async def test_a_new_webhook_has_done_nothing(api: CheckedClient) -> None:
    webhook = await create(api)
    assert not webhook.keys() & {"last_triggered", "last_errored"}
    assert (await api.get(path_of(webhook))).json == webhook


async def test_a_webhook_shows_its_latest_attempt_and_its_latest_error(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    idle = await create(api, DRAFT | {"events": ["job-created"]})
    await publish(api, [EVENT] * 2)
    success = await log_success(stage)
    shown = (await api.get(path_of(webhook))).json
    assert shown.pop("last_triggered").pop("at").endswith("Z")
    assert shown == webhook
    error = await log_gone(stage)
    shown = (await api.get(path_of(webhook))).json
    told = {
        "log_id": str(error.log_id),
        "delivery_id": str(error.delivery_id),
        "event": "job-completed",
        "at": shown["last_triggered"]["at"],
        "http_code": 410,
        "duration_ms": 12.5,
    }
    assert shown["last_triggered"] == told
    assert shown["last_errored"] == told | {
        "error": {"code": "gone", "message": "The receiver responded with 410."}
    }
    assert (await api.get(WEBHOOKS)).json == [shown, idle]
    assert success.log_id != error.log_id


async def test_a_success_leaves_the_latest_error(api: CheckedClient, stage: Backstage) -> None:
    webhook = await create(api)
    await publish(api, [EVENT] * 2)
    claimed_before, claimed_after = await stage.begin(2)
    error = await log_gone_of(stage, claimed_before)
    success = await log_success_of(stage, claimed_after)
    shown = (await api.get(path_of(webhook))).json
    assert shown["last_errored"]["log_id"] == str(error.log_id)
    assert shown["last_triggered"]["log_id"] == str(success.log_id)
    assert "error" not in shown["last_triggered"]


async def test_a_change_returns_it_too(api: CheckedClient, stage: Backstage) -> None:
    webhook = await create(api)
    await publish(api, EVENT)
    attempt = await log_success(stage)
    changed = await api.put(path_of(webhook), DRAFT | {"name": "Other"})
    assert changed.json["last_triggered"]["log_id"] == str(attempt.log_id)
    assert changed.json == (await api.get(path_of(webhook))).json


async def test_what_was_read_can_be_sent_back_with_it(api: CheckedClient, stage: Backstage) -> None:
    webhook = await create(api)
    await publish(api, EVENT)
    await log_success(stage)
    read = await api.get(path_of(webhook))
    assert (await api.put(path_of(webhook), read.json)).json == read.json


async def test_an_attempt_makes_the_tag_another_one(api: CheckedClient, stage: Backstage) -> None:
    webhook = await create(api)
    await publish(api, [EVENT] * 2)
    tags = [(await api.get(path_of(webhook))).headers["ETag"]]
    for _ in range(2):
        await log_success(stage)
        known = await api.get(path_of(webhook), headers={"If-None-Match": tags[-1]})
        assert known.status == 200
        tags.append(known.headers["ETag"])
    assert len(set(tags)) == 3
    again = await api.get(path_of(webhook), headers={"If-None-Match": f"{tags[0]}, {tags[-1]}"})
    assert (again.status, again.headers["ETag"]) == (304, tags[-1])


async def test_an_attempt_meanwhile_keeps_nobody_from_changing_what_was_read(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    await publish(api, [EVENT] * 2)
    await log_success(stage)
    tag = (await api.get(path_of(webhook))).headers["ETag"]
    await log_success(stage)
    held = {"If-Match": tag}
    changed = await api.call("PATCH", path_of(webhook), json={"name": "Other"}, headers=held)
    assert changed.status == 200
    stale = await api.call("PATCH", path_of(webhook), json={"name": "Third"}, headers=held)
    assert (stale.status, stale.json["error_code"]) == (412, 1203)
