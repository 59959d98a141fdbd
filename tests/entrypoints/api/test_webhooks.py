"""Webhooks over the API, as those who subscribe see them."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.entrypoints.api_examples import ANOTHER, DRAFT, ENVIRONMENT, EVENT, FULL, create, publish
from tests.entrypoints.api_services import MAX_WEBHOOKS, Backstage, log_gone, log_success
from tests.entrypoints.checked_api import CheckedClient


class TestWebhooks:
    async def test_a_created_webhook_is_answered_located_and_listed(
        self, api: CheckedClient
    ) -> None:
        created = await api.post(f"/environments/{ENVIRONMENT}/webhooks", DRAFT)
        webhook = created.json
        assert webhook.items() >= {**DRAFT, "method": "post"}.items()
        assert webhook["environment_id"] == ENVIRONMENT
        assert webhook["created_at"] == webhook["updated_at"]
        assert created.headers["Location"] == f"/api/webhooks/{webhook['webhook_id']}"
        assert (await api.get(f"/webhooks/{webhook['webhook_id']}")).json == webhook
        listed = await api.get(f"/environments/{ENVIRONMENT}/webhooks")
        assert listed.json == [webhook]

    async def test_what_was_left_out_is_left_out_of_the_response(self, api: CheckedClient) -> None:
        webhook = await create(api)
        assert not webhook.keys() & {
            "description",
            "disabled_until",
            "disabled_reason",
            "custom_headers",
            "filter",
            "retry",
            "timeout",
        }

    async def test_the_webhooks_of_an_environment_come_oldest_first(
        self, api: CheckedClient
    ) -> None:
        names = ["first", "second", "third"]
        for name in names:
            await create(api, {**DRAFT, "name": name})
        listed = await api.get(f"/environments/{ENVIRONMENT}/webhooks")
        assert [webhook["name"] for webhook in listed.json] == names

    async def test_secret_header_values_are_never_shown(self, api: CheckedClient) -> None:
        webhook = await create(api, FULL)
        shown = {"Authorization": "***", "X-Tenant": "north"}
        assert webhook["custom_headers"] == shown
        path = f"/webhooks/{webhook['webhook_id']}"
        assert (await api.get(path)).json["custom_headers"] == shown
        listed = await api.get(f"/environments/{ENVIRONMENT}/webhooks")
        assert listed.json[0]["custom_headers"] == shown
        assert (await api.put(path, FULL)).json["custom_headers"] == shown

    async def test_a_put_of_what_get_gave_changes_nothing(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api, FULL)
        path = f"/webhooks/{webhook['webhook_id']}"
        got = await api.get(path)
        put = await api.put(path, got.json)
        assert (put.status, put.json) == (200, got.json)
        assert (await api.get(path)).json == got.json
        assert await stored_headers(stage, webhook) == FULL["custom_headers"]

    async def test_a_mask_keeps_a_value_while_the_others_change(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api, FULL)
        headers = {"authorization": "***", "X-Tenant": "south", "X-Api-Key": "k"}
        await api.put(f"/webhooks/{webhook['webhook_id']}", {**FULL, "custom_headers": headers})
        assert await stored_headers(stage, webhook) == {
            "authorization": "Bearer 5f1d7a",
            "X-Tenant": "south",
            "X-Api-Key": "k",
        }

    async def test_a_mask_without_a_value_behind_it_is_refused(self, api: CheckedClient) -> None:
        refused = await api.post(
            f"/environments/{ENVIRONMENT}/webhooks",
            {**DRAFT, "custom_headers": {"Authorization": "***"}},
        )
        assert refused.status == 400
        assert refused.wrong_fields == {"custom_headers.Authorization"}

    async def test_a_put_sends_no_stored_value_to_another_host(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api, FULL)
        path = f"/webhooks/{webhook['webhook_id']}"
        shown = (await api.get(path)).json | {"url": "https://other.example.com/hooks"}
        refused = await api.put(path, shown)
        assert (refused.status, refused.wrong_fields) == (400, {"custom_headers.Authorization"})
        assert await stored_headers(stage, webhook) == FULL["custom_headers"]
        assert (await api.get(path)).json == webhook

    async def test_a_put_replaces_everything(self, api: CheckedClient, stage: Backstage) -> None:
        webhook = await create(api, FULL)
        path = f"/webhooks/{webhook['webhook_id']}"
        replaced = (await api.put(path, {**DRAFT, "name": "Other"})).json
        assert replaced["name"] == "Other"
        assert replaced["method"] == "post"
        assert not replaced.keys() & (FULL.keys() - DRAFT.keys() - {"method"})
        assert replaced["created_at"] == webhook["created_at"]
        assert replaced["updated_at"] > webhook["updated_at"]
        assert (await api.get(path)).json == replaced
        assert stage.revisions == [await stage.storage.webhooks.webhooks_revision()]

    async def test_read_only_fields_are_taken_and_ignored(self, api: CheckedClient) -> None:
        read_only = {
            "webhook_id": str(uuid4()),
            "environment_id": ANOTHER,
            "disabled_reason": "gone",
            "created_at": "whenever",
            "updated_at": 1,
            "last_triggered": {"at": "2026-01-01T00:00:00Z"},
            "last_errored": None,
        }
        webhook = await create(api, {**DRAFT, **read_only})
        assert webhook["environment_id"] == ENVIRONMENT
        assert "disabled_reason" not in webhook

    async def test_a_time_without_an_offset_is_read_in_the_zone_of_the_server(
        self, api: CheckedClient
    ) -> None:
        webhook = await create(api, {**DRAFT, "disabled_until": "2031-12-24T18:00:00"})
        assert webhook["disabled_until"] == "2031-12-24T23:00:00Z"

    async def test_a_deleted_webhook_is_gone(self, api: CheckedClient, stage: Backstage) -> None:
        webhook = await create(api)
        path = f"/webhooks/{webhook['webhook_id']}"
        assert (await api.delete(path)).status == 204
        assert stage.revisions == [await stage.storage.webhooks.webhooks_revision()]
        assert (await api.get(path)).status == 404
        assert (await api.delete(path)).status == 404
        assert (await api.put(path, DRAFT)).status == 404
        assert (await api.get(f"{path}/logs")).status == 404
        assert (await api.get(f"/environments/{ENVIRONMENT}/webhooks")).json == []

    async def test_one_webhook_more_than_an_environment_may_have_is_a_conflict(
        self, api: CheckedClient
    ) -> None:
        for _ in range(MAX_WEBHOOKS):
            await create(api)
        refused = await api.post(f"/environments/{ENVIRONMENT}/webhooks", DRAFT)
        assert (refused.status, refused.json["error_code"]) == (409, 1201)
        await create(api, environment=ANOTHER)


async def stored_headers(stage: Backstage, webhook: dict[str, Any]) -> dict[str, str]:
    environment_id, webhook_id = UUID(webhook["environment_id"]), UUID(webhook["webhook_id"])
    return dict((await stage.storage.webhooks.get(environment_id, webhook_id)).custom_headers)


class TestDisabledWebhooks:
    @pytest.fixture
    async def webhook(self, api: CheckedClient, stage: Backstage) -> dict[str, Any]:
        """Give a webhook that the system disabled."""
        webhook = await create(api, FULL | {"disabled_until": "2026-01-01T00:00:00Z"})
        await publish(api, EVENT)
        await log_gone(stage)
        return webhook

    async def test_it_says_why_and_for_how_long(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        got = (await api.get(f"/webhooks/{webhook['webhook_id']}")).json
        assert got["disabled_reason"] == "gone"
        assert got["disabled_until"] == "9999-12-31T23:59:59Z"

    async def test_sending_it_back_keeps_it_disabled(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        path = f"/webhooks/{webhook['webhook_id']}"
        got = (await api.get(path)).json
        assert (await api.put(path, got)).json == got
        renamed = (await api.put(path, {**got, "name": "Renamed"})).json
        assert renamed["disabled_reason"] == "gone"

    async def test_removing_the_time_enables_it(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        path = f"/webhooks/{webhook['webhook_id']}"
        got = (await api.get(path)).json
        del got["disabled_until"]
        enabled = (await api.put(path, got)).json
        assert not enabled.keys() & {"disabled_until", "disabled_reason"}
        assert (await api.get(path)).json == enabled

    async def test_setting_the_time_makes_it_the_customers_own(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        path = f"/webhooks/{webhook['webhook_id']}"
        own = {**(await api.get(path)).json, "disabled_until": "2031-01-01T00:00:00Z"}
        put = (await api.put(path, own)).json
        assert put["disabled_until"] == "2031-01-01T00:00:00Z"
        assert "disabled_reason" not in put


class TestTenants:
    async def test_an_environment_sees_only_its_own_webhooks(self, api: CheckedClient) -> None:
        await create(api)
        assert (await api.get(f"/environments/{ANOTHER}/webhooks")).json == []

    async def test_an_event_goes_to_its_own_environment_only(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        await create(api)
        theirs = await create(api, environment=ANOTHER)
        await publish(api, EVENT, ANOTHER)
        attempt = await log_success(stage)
        assert str(attempt.webhook_id) == theirs["webhook_id"]

    async def test_the_same_event_id_is_another_event_in_another_environment(
        self, api: CheckedClient
    ) -> None:
        event = {**EVENT, "event_id": "job-7"}
        assert not (await publish(api, event)).json["duplicate"]
        assert not (await publish(api, event, ANOTHER)).json["duplicate"]

    async def test_an_environment_has_keys_of_its_own(self, api: CheckedClient) -> None:
        ours, theirs = [
            (await api.get(f"/environments/{each}/settings")).json["public_verification_key"]
            for each in (ENVIRONMENT, ANOTHER)
        ]
        assert ours["id"] != theirs["id"]

    async def test_the_use_case_answers_for_another_environments_webhook_as_for_none(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api)
        with pytest.raises(LookupError):
            await stage.application.webhooks.get(UUID(ANOTHER), UUID(webhook["webhook_id"]))
