"""Having events delivered again, over the API."""

import pytest

from tests.entrypoints.api_examples import EVENT, create, publish
from tests.entrypoints.api_services import Backstage, log_success
from tests.entrypoints.checked_api import CheckedClient
from tests.entrypoints.test_api_deliveries import NOBODY


@pytest.fixture
async def delivered(api: CheckedClient, stage: Backstage) -> dict[str, str]:
    """Return a delivery that has succeeded."""
    await create(api)
    await publish(api, {**EVENT, "event_id": "job-7"})
    attempt = await log_success(stage)
    found: dict[str, str] = (await api.get(f"/deliveries/{attempt.delivery_id}")).json
    return found


class TestRetry:
    async def test_one_more_delivery_is_made_and_can_be_followed(
        self, api: CheckedClient, stage: Backstage, delivered: dict[str, str]
    ) -> None:
        answer = await api.call("POST", f"/deliveries/{delivered['delivery_id']}/retry")
        assert answer.status == 202
        assert (answer.json["state"], answer.json["origin"]) == ("pending", "retry")
        assert answer.json["event_id"] == "job-7"
        where = answer.headers["Location"].removeprefix("/api")
        await log_success(stage)
        made = (await api.get(where)).json
        assert (made["delivery_id"], made["state"]) == (answer.json["delivery_id"], "succeeded")
        listed = (await api.get(f"/webhooks/{delivered['webhook_id']}/deliveries")).json
        assert [one.get("origin") for one in listed] == ["retry", None]

    async def test_sent_again_with_its_key_it_makes_no_other(
        self, api: CheckedClient, delivered: dict[str, str]
    ) -> None:
        path = f"/deliveries/{delivered['delivery_id']}/retry"
        named = {"Idempotency-Key": "8f14e45f"}
        first, again = [await api.call("POST", path, headers=named) for _ in range(2)]
        assert (again.status, again.json) == (202, first.json)
        listed = (await api.get(f"/webhooks/{delivered['webhook_id']}/deliveries")).json
        assert len(listed) == 2

    async def test_it_says_why_nothing_can_be_sent(
        self, api: CheckedClient, delivered: dict[str, str]
    ) -> None:
        webhook, path = (
            f"/webhooks/{delivered['webhook_id']}",
            f"/deliveries/{delivered['delivery_id']}/retry",
        )
        await api.call("PATCH", webhook, json={"disabled_until": "2099-01-01T00:00:00Z"})
        disabled = await api.call("POST", path)
        assert (disabled.status, disabled.json["error_code"]) == (409, 1204)
        await api.delete(webhook)
        deleted = await api.call("POST", path)
        assert (deleted.status, deleted.json["error_code"]) == (409, 1205)
        missing = await api.call("POST", f"/deliveries/{NOBODY}/retry")
        assert (missing.status, missing.json["error_code"]) == (404, 1400)
