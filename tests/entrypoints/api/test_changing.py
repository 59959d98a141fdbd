"""Changing a webhook over the API: in part, and only the version that one has read."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.entrypoints.api_examples import DRAFT, EVENT, FULL, create, publish
from tests.entrypoints.api_services import Backstage, log_gone
from tests.entrypoints.checked_api import ApiResponse, CheckedClient

MERGE_PATCH = "application/merge-patch+json"


@pytest.fixture
async def webhook(api: CheckedClient) -> dict[str, Any]:
    return await create(api, FULL)


def path_of(webhook: dict[str, Any]) -> str:
    return f"/webhooks/{webhook['webhook_id']}"


async def patch(api: CheckedClient, webhook: dict[str, Any], change: object) -> ApiResponse:
    return await api.call("PATCH", path_of(webhook), json=change)


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


class TestPatch:
    async def test_what_is_left_out_stays_and_what_is_given_changes(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        changed = await patch(api, webhook, {"name": "Other"})
        assert changed.status == 200
        assert without(changed.json, "updated_at") == without(
            webhook | {"name": "Other"}, "updated_at"
        )
        assert (await api.get(path_of(webhook))).json == changed.json

    async def test_a_null_takes_a_field_away(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        names = (
            *("description", "disabled_until", "custom_headers", "filter"),
            *("retry", "timeout"),
        )
        changed = await patch(api, webhook, dict.fromkeys(names))
        assert not changed.json.keys() & set(names)

    async def test_a_null_gives_a_field_its_default_again(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        assert webhook["method"] == "put"
        assert (await patch(api, webhook, {"method": None})).json["method"] == "post"

    async def test_retries_are_merged_and_a_null_gives_one_back_to_the_installation(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        changed = await patch(api, webhook, {"retry": {"backoff": None, "max_retries": 2}})
        left = {"max_retries": 2, "interval": "10s", "max_interval": "6h"}
        assert changed.json["retry"] == left
        assert changed.json["timeout"] == webhook["timeout"]

    async def test_a_filter_is_merged_at_every_level_and_replaced_by_a_put(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        data = {"required": None, "properties": {"status": {"const": "failed"}}}
        merged = await patch(api, webhook, {"filter": {"properties": {"data": data}}})
        assert merged.json["filter"] == {
            "properties": {"data": {"properties": {"status": {"const": "failed"}}}}
        }
        number = {"properties": {"data": {"const": 1}}}
        replaced = await api.put(path_of(webhook), merged.json | {"filter": number})
        assert replaced.json["filter"] == number
        # Python takes true for 1, and JSON does not.
        true = {"properties": {"data": {"const": True}}}
        changed = await patch(api, webhook, {"filter": true})
        assert changed.json["filter"]["properties"]["data"]["const"] is True
        assert changed.headers["ETag"] != replaced.headers["ETag"]

    async def test_one_header_changes_and_the_secret_ones_stay(
        self, api: CheckedClient, webhook: dict[str, Any], stage: Backstage
    ) -> None:
        await patch(api, webhook, {"custom_headers": {"X-Tenant": "south", "X-New": "1"}})
        stored = await stage.storage.webhooks.get(
            UUID(webhook["environment_id"]), UUID(webhook["webhook_id"])
        )
        expected = FULL["custom_headers"] | {"X-Tenant": "south", "X-New": "1"}
        assert stored.custom_headers == expected

    async def test_no_header_follows_to_another_host_unless_it_is_given_again(
        self, api: CheckedClient, webhook: dict[str, Any], stage: Backstage
    ) -> None:
        url = "https://other.example.com/hooks"
        for headers, wrong in (
            ({}, {"custom_headers.Authorization", "custom_headers.X-Tenant"}),
            ({"Authorization": "Bearer new"}, {"custom_headers.X-Tenant"}),
            ({"Authorization": "***", "X-Tenant": None}, {"custom_headers.Authorization"}),
        ):
            refused = await patch(api, webhook, {"url": url, "custom_headers": headers})
            assert (refused.status, refused.wrong_fields) == (400, wrong)
        assert (await patch(api, webhook, {"url": url})).status == 400
        assert (await api.get(path_of(webhook))).json == webhook
        given = {"Authorization": "Bearer new", "X-Tenant": None}
        moved = await patch(api, webhook, {"url": url, "custom_headers": given})
        assert (moved.status, moved.json["url"]) == (200, url)
        assert moved.json["custom_headers"] == {"Authorization": "***"}
        stored = await stage.storage.webhooks.get(
            UUID(webhook["environment_id"]), UUID(webhook["webhook_id"])
        )
        assert stored.custom_headers == {"Authorization": "Bearer new"}

    async def test_with_the_last_header_the_field_goes(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        nothing = dict.fromkeys(FULL["custom_headers"])
        changed = await patch(api, webhook, {"custom_headers": nothing})
        assert (changed.status, "custom_headers" in changed.json) == (200, False)

    async def test_nothing_changes_nothing(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        assert (await patch(api, webhook, {})).json == webhook
        assert (await patch(api, webhook, {"created_at": "2020-01-01T00:00:00Z"})).json == webhook

    async def test_it_may_be_sent_as_what_it_is(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        headers = {"Content-Type": MERGE_PATCH}
        body = b'{"name": "Other"}'
        changed = await api.call("PATCH", path_of(webhook), data=body, headers=headers)
        assert (changed.status, changed.json["name"]) == (200, "Other")

    async def test_elsewhere_that_media_type_is_refused(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        headers = {"Content-Type": MERGE_PATCH}
        response = await api.call("PUT", path_of(webhook), data=b"{}", headers=headers)
        assert (response.status, response.json["error_code"]) == (415, 1006)

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"name": None}, "name"),
            ({"name": ""}, "name"),
            ({"url": "http://10.0.0.1/"}, "url"),
            ({"events": []}, "events"),
            ({"events": None}, "events"),
            ({"nome": "x"}, "nome"),
            ({"nome": None}, "nome"),
            ({"description": {"a": 1}}, "description"),
            ({"custom_headers": "x"}, "custom_headers"),
            ({"filter": []}, "filter"),
            ({"filter": {"properties": {"data": {"typ": 1}}}}, "filter.properties.data.typ"),
            ({"filter": {"properties": {"data": {"type": 1}}}}, "filter.properties.data.type"),
            ({"custom_headers": {"Host": "x"}}, "custom_headers.Host"),
            ({"custom_headers": {"X-Token": "***"}}, "custom_headers.X-Token"),
            ([], "body"),
        ],
    )
    async def test_an_outcome_that_is_wrong_is_refused_with_the_field(
        self, api: CheckedClient, webhook: dict[str, Any], change: object, where: str
    ) -> None:
        response = await patch(api, webhook, change)
        assert (response.status, response.json["error_code"]) == (400, 1100)
        assert response.wrong_fields == {where}
        assert (await api.get(path_of(webhook))).json == webhook

    async def test_a_null_enables_what_the_system_disabled(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        webhook = await create(api)
        await publish(api, EVENT)
        await log_gone(stage)
        renamed = await patch(api, webhook, {"name": "Other"})
        assert renamed.json["disabled_reason"] == "gone"
        enabled = await patch(api, webhook, {"disabled_until": None})
        assert not enabled.json.keys() & {"disabled_reason", "disabled_until"}

    async def test_two_at_once_both_hold(self, api: CheckedClient, webhook: dict[str, Any]) -> None:
        changes = {"name": "Other"}, {"description": "new"}
        await asyncio.gather(*(patch(api, webhook, each) for each in changes))
        assert (await api.get(path_of(webhook))).json.items() >= {
            "name": "Other",
            "description": "new",
        }.items()


class TestVersions:
    async def test_every_response_with_a_webhook_tells_its_version(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        first = await api.get(path_of(webhook))
        changed = await patch(api, webhook, {"name": "Other"})
        again = await api.get(path_of(webhook))
        assert first.headers["ETag"] != changed.headers["ETag"] == again.headers["ETag"]

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    async def test_a_version_that_is_no_more_is_not_changed(
        self, api: CheckedClient, webhook: dict[str, Any], method: str
    ) -> None:
        old = await api.get(path_of(webhook))
        new = await patch(api, webhook, {"name": "Meanwhile"})
        response = await change(api, method, webhook, old.headers["ETag"])
        assert (response.status, response.json["error_code"]) == (412, 1203)
        assert "read it again" in response.json["message"].lower()
        assert (await api.get(path_of(webhook))).json == new.json

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("form", ["{}", '"0", {}', "*"])
    async def test_the_version_that_one_has_read_is_changed(
        self, api: CheckedClient, webhook: dict[str, Any], method: str, form: str
    ) -> None:
        tag = (await api.get(path_of(webhook))).headers["ETag"]
        response = await change(api, method, webhook, form.format(tag))
        assert response.status == (204 if method == "DELETE" else 200)

    @pytest.mark.parametrize("tag", ['W/"1"', '"one"', '"\u00b9"', "1", "", '"' + "9" * 5000 + '"'])
    async def test_what_is_no_version_of_ours_names_none(
        self, api: CheckedClient, webhook: dict[str, Any], tag: str
    ) -> None:
        response = await change(api, "PUT", webhook, tag)
        assert (response.status, response.json["error_code"]) == (412, 1203)

    async def test_what_the_caller_has_is_not_sent_twice(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        got = await api.get(path_of(webhook))
        known = {"If-None-Match": got.headers["ETag"]}
        again = await api.get(path_of(webhook), headers=known)
        assert (again.status, again.json) == (304, None)
        assert again.headers["ETag"] == got.headers["ETag"]
        await patch(api, webhook, {"name": "Other"})
        assert (await api.get(path_of(webhook), headers=known)).status == 200

    async def test_a_webhook_that_is_not_there_is_not_found_whatever_its_version(
        self, api: CheckedClient, webhook: dict[str, Any]
    ) -> None:
        await api.delete(path_of(webhook))
        assert (await change(api, "PUT", webhook, '"1"')).status == 404


async def change(api: CheckedClient, method: str, webhook: dict[str, Any], tag: str) -> ApiResponse:
    body = None if method == "DELETE" else {**DRAFT, "name": "Mine"}
    return await api.call(method, path_of(webhook), json=body, headers={"If-Match": tag})
