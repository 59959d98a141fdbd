"""Redelivering events, over the API."""

import pytest

from notification_core.replays.replay_runner import ReplayRunner
from notification_entrypoints.observability.metrics import Metrics
from tests.entrypoints.api.test_deliveries import NOBODY
from tests.entrypoints.api.test_reading import all_pages
from tests.entrypoints.api_examples import DRAFT, EVENT, create, publish
from tests.entrypoints.api_services import Backstage, log_success
from tests.entrypoints.checked_api import CheckedClient

SINCE = {"since": "2020-01-01T00:00:00Z"}


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
        response = await api.call("POST", f"/deliveries/{delivered['delivery_id']}/retry")
        assert response.status == 202
        assert (response.json["state"], response.json["origin"]) == ("pending", "retry")
        assert response.json["event_id"] == "job-7"
        where = response.headers["Location"].removeprefix("/api")
        await log_success(stage)
        made = (await api.get(where)).json
        assert (made["delivery_id"], made["state"]) == (response.json["delivery_id"], "succeeded")
        listed = (await api.get(f"/webhooks/{delivered['webhook_id']}/deliveries")).json
        assert [one.get("origin") for one in listed] == ["retry", None]

    async def test_repeated_with_its_key_it_makes_no_other(
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


class TestReplay:
    @pytest.fixture
    async def replays(self, api: CheckedClient) -> str:
        """Return the path of the replays of a webhook that has missed two events."""
        webhook = await create(api, {**DRAFT, "disabled_until": "2099-01-01T00:00:00Z"})
        await publish(api, [EVENT, EVENT])
        path = f"/webhooks/{webhook['webhook_id']}"
        await api.call("PATCH", path, json={"disabled_until": None})
        return f"{path}/replays"

    async def test_a_replay_is_begun_followed_and_listed(
        self, api: CheckedClient, stage: Backstage, replays: str
    ) -> None:
        begun = await api.post(replays, SINCE)
        assert (begun.status, begun.json["state"], begun.json["replayed"]) == (202, "running", 0)
        assert begun.json["states"] == ["cancelled", "failed", "skipped"]
        where = begun.headers["Location"].removeprefix("/api")
        assert (await api.get(where)).json == begun.json
        await ReplayRunner(stage.storage.replays, Metrics("1", "")).advance_all()
        ended = (await api.get(where)).json
        assert (ended["state"], ended["replayed"]) == ("completed", 2)
        assert ended["done_until"] == ended["until"]
        assert (await api.get(replays)).json == [ended]
        deliveries = (await api.get(replays.replace("replays", "deliveries?state=pending"))).json
        assert {one["replay_id"] for one in deliveries} == {ended["replay_id"]}
        assert len(await stage.begin(2)) == 2

    async def test_a_dry_run_only_counts(self, api: CheckedClient, replays: str) -> None:
        response = await api.post(replays, {**SINCE, "dry_run": True})
        assert (response.status, response.json) == (200, {"count": 2, "is_exact": True})
        failed = await api.post(replays, {**SINCE, "states": ["failed"], "dry_run": True})
        assert failed.json["count"] == 0
        assert (await api.get(replays)).json == []

    async def test_a_cancelled_one_makes_nothing_more(
        self, api: CheckedClient, stage: Backstage, replays: str
    ) -> None:
        begun = await api.post(replays, SINCE)
        where = f"{replays}/{begun.json['replay_id']}"
        for _ in range(2):
            assert (await api.delete(where)).status == 204
        await ReplayRunner(stage.storage.replays, Metrics("1", "")).advance_all()
        ended = (await api.get(where)).json
        assert (ended["state"], ended["replayed"]) == ("cancelled", 0)

    async def test_one_runs_at_a_time(self, api: CheckedClient, replays: str) -> None:
        await api.post(replays, SINCE)
        response = await api.post(replays, SINCE)
        assert (response.status, response.json["error_code"]) == (409, 1402)

    async def test_repeated_with_its_key_it_is_the_same_replay(
        self, api: CheckedClient, replays: str
    ) -> None:
        named = {"Idempotency-Key": "8f14e45f"}
        first, again = [
            await api.call("POST", replays, json=SINCE, headers=named) for _ in range(2)
        ]
        assert (again.status, again.json) == (202, first.json)

    async def test_they_are_read_page_by_page(
        self, api: CheckedClient, stage: Backstage, replays: str
    ) -> None:
        for _ in range(3):
            await api.post(replays, SINCE)
            await ReplayRunner(stage.storage.replays, Metrics("1", "")).advance_all()
        pages = await all_pages(api, f"{replays}?limit=2")
        assert [len(page) for page in pages] == [2, 1]
        ids = [one["replay_id"] for page in pages for one in page]
        assert ids == sorted(set(ids), reverse=True)

    async def test_what_makes_no_sense_is_refused(self, api: CheckedClient, replays: str) -> None:
        for body, field in (
            ({}, "since"),
            ({"since": "yesterday"}, "since"),
            ({"since": "2099-01-01T00:00:00Z"}, "since"),
            ({**SINCE, "until": "2019-01-01T00:00:00Z"}, "since"),
            ({**SINCE, "states": []}, "states"),
            ({**SINCE, "states": ["pending"]}, "states[0]"),
            ({**SINCE, "dry_run": 1}, "dry_run"),
        ):
            response = await api.post(replays, body)
            assert (response.status, response.wrong_fields) == (400, {field})
        for path in (f"{replays}/{NOBODY}", f"/webhooks/{NOBODY}/replays/{NOBODY}"):
            assert (await api.get(path)).status == 404
            assert (await api.delete(path)).status == 404
        paused = {"disabled_until": "2099-01-01T00:00:00Z"}
        await api.call("PATCH", replays.removesuffix("/replays"), json=paused)
        disabled = await api.post(replays, SINCE)
        assert (disabled.status, disabled.json["error_code"]) == (409, 1204)
