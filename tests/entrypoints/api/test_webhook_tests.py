"""Trying a webhook out over the API."""

import asyncio

from notification_adapters.memory.sender import Hang
from tests.entrypoints.api.test_deliveries import NOBODY
from tests.entrypoints.api_examples import DRAFT, create
from tests.entrypoints.api_services import TEST_TIMEOUT, Backstage
from tests.entrypoints.checked_api import CheckedClient, called
from tests.support.samples import EVENT_TYPES


async def test_the_attempt_is_told_as_the_log_tells_it(api: CheckedClient) -> None:
    webhook = await create(api)
    path = f"/webhooks/{webhook['webhook_id']}"
    response = await api.call("POST", f"{path}/test")
    assert (response.status, response.json["outcome"]) == (200, "succeeded")
    assert response.json["event"] == DRAFT["events"][0]
    assert (await api.get(f"{path}/logs")).json == [response.json]
    (delivery,) = (await api.get(f"{path}/deliveries")).json
    assert (delivery["origin"], delivery["state"]) == ("test", "succeeded")


async def test_any_event_type_can_be_chosen(api: CheckedClient) -> None:
    webhook = await create(api)
    path = f"/webhooks/{webhook['webhook_id']}/test"
    for name in EVENT_TYPES:
        assert (await api.post(path, {"event": name})).json["event"] == name


async def test_a_failing_receiver_is_not_an_error_of_the_call(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    stage.sender.respond(DRAFT["url"], 500)
    response = await api.call("POST", f"/webhooks/{webhook['webhook_id']}/test")
    assert (response.status, response.json["outcome"]) == (200, "failed")
    assert response.json["response"]["http_code"] == 500
    assert "next_attempt_at" not in response.json


async def test_a_receiver_may_take_as_long_as_any_however_soon_others_are_answered(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    stage.sender.respond(DRAFT["url"], Hang.HANG)
    impatient = stage.but(settings={"api.server_write_timeout": TEST_TIMEOUT * 0.9})
    async with called(impatient) as hurried:
        response = await hurried.call("POST", f"/webhooks/{webhook['webhook_id']}/test")
    assert response.json["error"]["code"] == "timeout"


async def test_repeated_with_its_key_nothing_more_is_sent(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    path, named = f"/webhooks/{webhook['webhook_id']}/test", {"Idempotency-Key": "8f14e45f"}
    first, again = [await api.call("POST", path, headers=named) for _ in range(2)]
    assert again.json == first.json
    assert len(stage.sender.requests) == 1


async def test_it_is_sent_once_although_the_first_response_took_too_long(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    path, named = f"/webhooks/{webhook['webhook_id']}/test", {"Idempotency-Key": "8f14e45f"}
    stage.sender.respond(DRAFT["url"], Hang.HANG)
    # With what a receiver may take on top, a tenth of that is left.
    impatient = stage.but(settings={"api.server_write_timeout": TEST_TIMEOUT * -0.9})
    async with called(impatient) as hurried:
        too_slow = await hurried.call("POST", path, headers=named)
    assert (too_slow.status, too_slow.json["error_code"]) == (503, 1903)
    await stage.sender.wait_for(1)
    again = await api.call("POST", path, headers=named)
    assert (again.status, again.json["error_code"]) == (409, 1010)
    stage.sender.release(DRAFT["url"])
    await stage.application.webhook_tester.drain()
    answered = await api.call("POST", path, headers=named)
    assert (answered.status, answered.json["response"]["http_code"]) == (200, 200)
    assert answered.headers["Idempotent-Replayed"] == "true"
    assert len(stage.sender.requests) == 1


async def test_too_many_at_once_are_told_to_come_back(api: CheckedClient, stage: Backstage) -> None:
    webhook = await create(api)
    stage.sender.respond(DRAFT["url"], Hang.HANG)
    path = f"/webhooks/{webhook['webhook_id']}/test"
    responses = [asyncio.create_task(api.call("POST", path)) for _ in range(17)]
    done, _ = await asyncio.wait(responses, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = done
    assert (refused.result().status, refused.result().json["error_code"]) == (429, 1206)
    stage.sender.release(DRAFT["url"])
    await asyncio.gather(*responses)


async def test_what_makes_no_sense_is_refused(api: CheckedClient, stage: Backstage) -> None:
    webhook = await create(api)
    path = f"/webhooks/{webhook['webhook_id']}/test"
    for body, field in (({"event": "job-lost"}, "event"), ({"evnt": "job-created"}, "evnt")):
        response = await api.post(path, body)
        assert (response.status, response.wrong_fields) == (400, {field})
    missing = await api.call("POST", f"/webhooks/{NOBODY}/test")
    assert (missing.status, missing.json["error_code"]) == (404, 1200)
    assert not stage.sender.requests
