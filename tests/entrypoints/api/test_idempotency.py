"""POSTs with an Idempotency-Key: had once, and answered alike each time."""

import asyncio
from typing import Any

import pytest

from notification_adapters.memory import ManualClock
from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.model.caller import Caller, Scope
from notification_core.model.event import Source
from notification_core.model.request_records import KEPT_FOR
from tests.entrypoints.api.test_server import WaitingIngest
from tests.entrypoints.api_examples import (
    ANOTHER,
    DRAFT,
    EVENT,
    EVENTS,
    FULL,
    WEBHOOKS,
    create,
)
from tests.entrypoints.api_services import MAX_WEBHOOKS, Backstage
from tests.entrypoints.checked_api import ApiResponse, CheckedClient, called

KEY = "8f14e45f"


async def post(api: CheckedClient, path: str, body: object, key: str = KEY) -> ApiResponse:
    return await api.call("POST", path, json=body, headers={"Idempotency-Key": key})


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param(WEBHOOKS, FULL, 201, id="webhook"),
        pytest.param(EVENTS, EVENT, 202, id="event"),
        pytest.param(EVENTS, [EVENT, EVENT], 202, id="batch"),
    ],
)
async def test_the_same_request_again_is_answered_as_it_was_and_does_nothing_more(
    api: CheckedClient, stage: Backstage, path: str, body: Any, status: int
) -> None:
    await create(api)
    first = await post(api, path, body)
    again = await post(api, path, body)
    assert (first.status, again.status, again.json) == (status, status, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers.get(name) == first.headers.get(name)
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    if path == WEBHOOKS:
        assert len((await api.get(WEBHOOKS)).json) == 2
    else:
        await stage.begin(2 if isinstance(body, list) else 1)


async def test_without_a_key_or_with_another_one_it_is_another_request(api: CheckedClient) -> None:
    ids = {(await create(api))["webhook_id"], (await create(api))["webhook_id"]}
    ids.add((await post(api, WEBHOOKS, DRAFT)).json["webhook_id"])
    assert len(ids) == 3


async def test_a_key_is_of_one_environment_and_one_route(api: CheckedClient) -> None:
    first = await post(api, WEBHOOKS, DRAFT)
    elsewhere = await post(api, f"/environments/{ANOTHER}/webhooks", DRAFT)
    assert elsewhere.status == 201
    assert elsewhere.json["webhook_id"] != first.json["webhook_id"]
    assert (await post(api, EVENTS, EVENT)).status == 202


async def test_a_key_is_of_one_caller(stage: Backstage) -> None:
    anna, ben = Caller("Anna", Scope.ADMIN), Caller("Ben", Scope.ADMIN)
    credentials = [MemoryCredentials({"a": anna, "b": ben})]
    async with called(stage.but(credentials=credentials)) as api:
        made = [await post_as(api, who) for who in ("a", "b", "a")]
    first, of_another, again = (each.json["webhook_id"] for each in made)
    assert first == again != of_another


async def post_as(api: CheckedClient, credential: str) -> ApiResponse:
    headers = {"Idempotency-Key": KEY, "Authorization": f"Bearer {credential}"}
    return await api.call("POST", WEBHOOKS, json=DRAFT, headers=headers)


async def test_a_key_with_another_body_is_refused_and_nothing_is_done(api: CheckedClient) -> None:
    await post(api, WEBHOOKS, DRAFT)
    response = await post(api, WEBHOOKS, DRAFT | {"name": "Other"})
    assert (response.status, response.json["error_code"]) == (422, 1011)
    assert len((await api.get(WEBHOOKS)).json) == 1


async def test_while_the_first_is_being_answered_a_second_one_is_told_so(stage: Backstage) -> None:
    ingest = WaitingIngest(stage.application.ingests[Source.HTTP])
    async with called(stage.but(ingests={Source.HTTP: ingest})) as api:
        first = asyncio.create_task(post(api, EVENTS, EVENT))
        await ingest.begun.wait()
        second = await post(api, EVENTS, EVENT)
        assert (second.status, second.json["error_code"]) == (409, 1010)
        assert second.headers["Retry-After"] == "1"
        ingest.proceed.set()
        answered = await first
        assert (await post(api, EVENTS, EVENT)).json == answered.json


async def test_what_another_process_has_answered_meanwhile_is_the_response(
    stage: Backstage,
) -> None:
    ingest = WaitingIngest(stage.application.ingests[Source.HTTP])
    overtakable = stage.but(ingests={Source.HTTP: ingest})
    async with called(overtakable) as slow, called(stage.application) as fast:
        overtaken = asyncio.create_task(post(slow, EVENTS, EVENT))
        await ingest.begun.wait()
        first = await post(fast, EVENTS, EVENT)
        ingest.proceed.set()
        assert (await overtaken).json == first.json
        assert (await overtaken).headers["Idempotent-Replayed"] == "true"


async def test_what_was_refused_may_be_sent_right_with_the_same_key(api: CheckedClient) -> None:
    webhooks = [await create(api) for _ in range(MAX_WEBHOOKS)]
    assert (await post(api, WEBHOOKS, DRAFT)).status == 409
    assert (await post(api, WEBHOOKS, DRAFT | {"name": ""})).status == 400
    await api.delete(f"/webhooks/{webhooks[0]['webhook_id']}")
    assert (await post(api, WEBHOOKS, DRAFT | {"name": "Other"})).status == 201


async def test_a_key_is_forgotten_after_a_day(stage: Backstage) -> None:
    clock = ManualClock()
    async with called(stage.but(clock=clock)) as api:
        first = await post(api, WEBHOOKS, DRAFT)
        await clock.advance(KEPT_FOR.total_seconds() - 1)
        assert (await post(api, WEBHOOKS, DRAFT)).json == first.json
        await clock.advance(1)
        again = await post(api, WEBHOOKS, DRAFT)
        assert again.json["webhook_id"] != first.json["webhook_id"]


@pytest.mark.parametrize("key", ["", "é", "x" * 256])
async def test_a_key_that_is_none_is_refused(api: CheckedClient, key: str) -> None:
    response = await post(api, WEBHOOKS, DRAFT, key)
    assert (response.status, response.wrong_fields) == (400, {"Idempotency-Key"})


async def test_two_keys_are_refused(api: CheckedClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = await api.call("POST", WEBHOOKS, json=DRAFT, headers=headers)
    assert (response.status, response.wrong_fields) == (400, {"Idempotency-Key"})


async def test_what_is_kept_shows_no_secret(api: CheckedClient) -> None:
    await post(api, WEBHOOKS, FULL)
    replayed = await post(api, WEBHOOKS, FULL)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert replayed.json["custom_headers"] == {"Authorization": "***", "X-Tenant": "north"}
