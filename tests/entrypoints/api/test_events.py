"""Events over the API, as those who publish see them."""

from collections.abc import AsyncIterator
from io import BytesIO
from uuid import UUID

import pytest
from attrs import evolve

from notification_entrypoints.observability.metrics import Metrics
from tests.entrypoints.api_examples import ENVIRONMENT, EVENT, create, publish
from tests.entrypoints.api_services import Backstage
from tests.entrypoints.checked_api import ApiResponse, CheckedClient, called
from tests.support.samples import EVENT_TYPES


@pytest.fixture
async def strict(stage: Backstage) -> AsyncIterator[CheckedClient]:
    """Give a client of the API of an installation that rejects data which does not fit."""
    validation = evolve(stage.application.validation, rejects=True)
    async with called(stage.but(validation=validation)) as client:
        yield client


class TestEvents:
    async def test_the_types_are_the_catalogue(self, api: CheckedClient) -> None:
        response = await api.get("/webhooks/events")
        assert [each["name"] for each in response.json] == list(EVENT_TYPES)
        assert response.json[0]["example"] == EVENT_TYPES["pipeline-created"].example

    async def test_one_event_is_answered_alone_and_a_batch_in_its_order(
        self, api: CheckedClient
    ) -> None:
        one = await publish(api, {**EVENT, "event_id": "a"})
        assert (one.status, one.json) == (202, {"event_id": "a", "duplicate": False})
        batch = await publish(api, [{**EVENT, "event_id": each} for each in ("b", "a", "b")])
        assert [tuple(each.values()) for each in batch.json] == [
            ("b", False),
            ("a", True),
            ("b", True),
        ]

    async def test_an_event_without_an_id_gets_one(self, api: CheckedClient) -> None:
        ids = {(await publish(api, EVENT)).json["event_id"] for _ in range(2)}
        assert len(ids) == 2

    async def test_those_of_a_large_batch_without_an_id_get_one(self, api: CheckedClient) -> None:
        large = {**EVENT, "data": {"note": "x" * 100_000}}
        batch = await publish(api, [large, {**large, "event_id": "a"}, large])
        assert batch.status == 202
        first, second, third = (each["event_id"] for each in batch.json)
        assert second == "a"
        assert UUID(first).version == UUID(third).version == 7
        assert first != third

    async def test_data_arrives_byte_for_byte(self, api: CheckedClient, stage: Backstage) -> None:
        await create(api)
        data = b'{ "n":1.50, "u":"\\u00e9\\u0000", "big":' + b"9" * 400 + b"}"
        body = b'{"event":"job-completed","data":' + data + b"}"
        headers = {"Content-Type": "application/json"}
        path = f"/environments/{ENVIRONMENT}/events"
        assert (await api.call("POST", path, data=BytesIO(body), headers=headers)).status == 202
        (claimed,) = await stage.begin(1)
        assert claimed.body.endswith(b'"data":' + data + b"}")

    async def test_a_refused_batch_stores_nothing(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        await create(api)
        refused = await publish(api, [EVENT, {**EVENT, "event": "job-exploded"}])
        assert (refused.status, refused.json["error_code"]) == (400, 1300)
        assert refused.wrong_fields == {"[1].event"}
        await publish(api, EVENT)
        await stage.begin(1)

    async def test_events_that_are_refused_or_do_not_fit_their_schema_are_counted(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        await publish(api, [EVENT, {**EVENT, "event": "job-exploded"}])
        surprising = await publish(api, {**EVENT, "data": {"job_id": 7}})
        assert surprising.status == 202
        metrics = stage.application.metrics
        assert isinstance(metrics, Metrics)
        counted = metrics.rendered().decode()
        assert 'notification_events_total{result="rejected",source="http"} 1.0' in counted
        assert "notification_data_schema_mismatches_total{" in counted

    async def test_data_that_does_not_fit_is_delivered_with_warnings(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        await create(api)
        wrong = {**EVENT, "event_id": "w", "data": {"job_id": 7, "status": "lost"}}
        one = await publish(api, wrong)
        assert one.status == 202
        said = {warning["field"]: warning["message"] for warning in one.json["warnings"]}
        assert said.keys() == {"data.job_id", "data.status", "data.pipeline_id"}
        assert said["data.status"].endswith("one of succeeded, failed, cancelled.")
        batch = await publish(api, [wrong, EVENT, {**wrong, "event_id": "v"}])
        assert ["warnings" in each for each in batch.json] == [False, False, True]
        await stage.begin(3)

    @pytest.mark.parametrize(
        ("values", "field"), [(1, "data.status"), (1_000, "data.status"), (100_000, "data")]
    )
    async def test_of_large_data_with_many_values_no_field_is_named(
        self, api: CheckedClient, values: int, field: str
    ) -> None:
        wrong = {**EVENT["data"], "status": "lost", "values": [0] * values}
        response = await publish(api, {**EVENT, "data": wrong})
        (warning,) = response.json["warnings"]
        assert warning["field"] == field

    async def test_it_is_counted_once_however_often_it_is_published(
        self, api: CheckedClient, stage: Backstage
    ) -> None:
        wrong = {**EVENT, "event_id": "w", "data": {}}
        path = f"/environments/{ENVIRONMENT}/events"
        for _ in range(2):
            for headers in ({}, {"Idempotency-Key": "k"}):
                await api.call("POST", path, json=wrong, headers=headers)
        counted = stage.metrics.rendered().decode()
        assert (
            'notification_data_schema_mismatches_total{event_type="job-completed"} 1.0' in counted
        )

    async def test_where_it_is_rejected_the_whole_batch_is(
        self, stage: Backstage, strict: CheckedClient
    ) -> None:
        await create(strict)
        wrong = {**EVENT, "data": {**EVENT["data"], "status": "lost"}}
        refused = await publish(strict, [EVENT, EVENT, EVENT, wrong])
        assert (refused.status, refused.json["error_code"]) == (400, 1300)
        assert refused.wrong_fields == {"[3].data.status"}
        refused = await publish(strict, wrong)
        assert refused.wrong_fields == {"data.status"}
        assert 'result="rejected",source="http"} 2.0' in stage.metrics.rendered().decode()
        assert (await publish(strict, EVENT)).json.keys() == {"event_id", "duplicate"}
        await stage.begin(1)

    async def test_a_duplicate_is_not_validated(
        self, api: CheckedClient, strict: CheckedClient
    ) -> None:
        wrong = {**EVENT, "event_id": "w", "data": {}}
        assert (await publish(api, wrong)).status == 202
        again = await publish(strict, wrong)
        assert (again.status, again.json) == (202, {"event_id": "w", "duplicate": True})
        assert (await publish(strict, [wrong, {**wrong, "event_id": "x"}])).wrong_fields == {
            "[1].data.job_id",
            "[1].data.pipeline_id",
            "[1].data.status",
        }

    async def test_a_request_that_comes_again_is_answered_as_before_it_would_be_rejected(
        self, api: CheckedClient, strict: CheckedClient
    ) -> None:
        # Without an id of its own it is another event each time, were it not for the key.
        wrong, path = {**EVENT, "data": {}}, f"/environments/{ENVIRONMENT}/events"
        headers = {"Idempotency-Key": "k"}
        first = await api.call("POST", path, json=wrong, headers=headers)
        again = await strict.call("POST", path, json=wrong, headers=headers)
        assert (again.status, again.json) == (202, first.json)
        assert (await publish(strict, wrong)).status == 400

    async def test_an_event_may_have_a_mebibyte_but_not_a_byte_more(
        self, api: CheckedClient
    ) -> None:
        assert (await publish_sized(api, 1024 * 1024)).status == 202
        refused = await publish_sized(api, 1024 * 1024 + 1)
        assert (refused.status, refused.json["error_code"]) == (413, 1301)
        assert "1,048,576 bytes" in refused.json["message"]

    async def test_a_batch_that_makes_too_many_deliveries_says_how_many_fit(
        self, api: CheckedClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("notification_core.ingest.plan.MAX_DELIVERIES_PER_TRANSACTION", 5)
        for _ in range(2):
            await create(api)
        refused = await publish(api, [EVENT] * 3)
        assert (refused.status, refused.json["error_code"]) == (413, 1302)
        assert "first 2 events would fit" in refused.json["message"]


async def publish_sized(api: CheckedClient, size: int) -> ApiResponse:
    head, tail = b'{"event":"job-completed","data":"', b'"}'
    body = head + b"x" * (size - len(head) - len(tail)) + tail
    return await api.call(
        "POST",
        f"/environments/{ENVIRONMENT}/events",
        data=BytesIO(body),
        headers={"Content-Type": "application/json"},
    )
