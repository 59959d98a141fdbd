"""What customers read of deliveries and events."""

import msgspec

from tests.entrypoints.api.test_reading import all_pages
from tests.entrypoints.api_examples import ANOTHER, DRAFT, ENVIRONMENT, EVENT, create, publish
from tests.entrypoints.api_services import Backstage, log_gone, log_success
from tests.entrypoints.checked_api import CheckedClient

NOBODY = "019ab5c2-7a10-7c31-9f04-6a3d7e2b1c55"


async def test_a_delivery_is_told_with_its_attempts(api: CheckedClient, stage: Backstage) -> None:
    webhook = await create(api)
    await publish(api, {**EVENT, "event_id": "job-7"})
    attempt = await log_gone(stage)
    delivery = (await api.get(f"/deliveries/{attempt.delivery_id}")).json
    logs = (await api.get(f"/webhooks/{webhook['webhook_id']}/logs")).json
    assert delivery["attempts"] == logs
    assert delivery["webhook_id"] == webhook["webhook_id"]
    assert (delivery["event_id"], delivery["event"]) == ("job-7", "job-completed")
    assert (delivery["state"], delivery["attempt"]) == ("failed", 1)
    assert "next_attempt_at" not in delivery


async def test_the_deliveries_of_a_webhook_are_read_page_by_page(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    await publish(api, [EVENT] * 5)
    await log_success(stage)
    path = f"/webhooks/{webhook['webhook_id']}/deliveries"
    pages = await all_pages(api, f"{path}?limit=2")
    assert [len(page) for page in pages] == [2, 2, 1]
    ids = [one["delivery_id"] for page in pages for one in page]
    assert ids == sorted(set(ids), reverse=True)
    states = [one["state"] for page in pages for one in page]
    assert sorted(states) == ["pending"] * 4 + ["succeeded"]


async def test_deliveries_are_filtered_by_state_event_and_time(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    await publish(api, [EVENT] * 2)
    done = str((await log_success(stage)).delivery_id)
    path = f"/webhooks/{webhook['webhook_id']}/deliveries"
    (only,) = (await api.get(f"{path}?state=succeeded&event=job-completed")).json
    assert only["delivery_id"] == done
    assert (await api.get(f"{path}?event=job-created")).json == []
    assert (await api.get(f"{path}?since=2099-01-01T00:00:00Z")).json == []
    assert len((await api.get(f"{path}?until=2099-01-01T00:00:00")).json) == 2


async def test_filters_that_make_no_sense_are_refused(api: CheckedClient) -> None:
    webhook = await create(api)
    path = f"/webhooks/{webhook['webhook_id']}/deliveries"
    response = await api.get(f"{path}?state=lost&since=yesterday&cursor=x")
    assert response.status == 400
    assert {"state", "since"} <= response.wrong_fields


async def test_an_event_shows_its_delivery_status_also_if_it_was_skipped(
    api: CheckedClient,
) -> None:
    sent_to = await create(api)
    skipping = await create(api, {**DRAFT, "disabled_until": "2099-01-01T00:00:00Z"})
    await publish(api, {**EVENT, "event_id": "a/b ü"})
    event = (await api.get(f"/environments/{ENVIRONMENT}/events/a%2Fb%20%C3%BC")).json
    assert (event["event_id"], event["event"]) == ("a/b ü", "job-completed")
    found = {one["webhook_id"]: one for one in event["deliveries"]}
    assert found[sent_to["webhook_id"]]["state"] == "pending"
    assert found[skipping["webhook_id"]]["state"] == "skipped"
    assert found[skipping["webhook_id"]]["reason"] == "webhook_disabled"


async def test_an_event_that_no_webhook_wanted_has_no_deliveries(api: CheckedClient) -> None:
    await publish(api, {**EVENT, "event_id": "job-7"})
    event = (await api.get(f"/environments/{ENVIRONMENT}/events/job-7")).json
    assert event["deliveries"] == []


async def test_what_does_not_exist_or_is_anothers_is_not_found(api: CheckedClient) -> None:
    await publish(api, {**EVENT, "event_id": "job-7"})
    for path, code in (
        (f"/environments/{ANOTHER}/events/job-7", 1303),
        (f"/deliveries/{NOBODY}", 1400),
        (f"/webhooks/{NOBODY}/deliveries", 1200),
    ):
        response = await api.get(path)
        assert (response.status, response.json["error_code"]) == (404, code)


async def test_the_body_of_an_event_is_what_its_webhooks_are_sent(
    api: CheckedClient, stage: Backstage
) -> None:
    await create(api)
    await publish(api, {**EVENT, "event_id": "a/b ü"})
    (claimed,) = await stage.begin(1)
    body = (await api.get(f"/environments/{ENVIRONMENT}/events/a%2Fb%20%C3%BC/body")).json
    assert body == msgspec.json.decode(claimed.body)
    assert (await api.get(f"/environments/{ANOTHER}/events/a%2Fb%20%C3%BC/body")).status == 404


async def test_an_event_that_no_webhook_wanted_has_no_body(api: CheckedClient) -> None:
    await publish(api, {**EVENT, "event_id": "job-7"})
    response = await api.get(f"/environments/{ENVIRONMENT}/events/job-7/body")
    assert (response.status, response.json["error_code"]) == (409, 1304)
