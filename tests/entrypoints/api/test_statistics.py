"""Statistics over the API: of a webhook and of an environment, by bucket and in total."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.model.caller import Caller, Scope
from notification_core.model.delivery import AttemptOutcome, Failed
from notification_core.model.statistics import BucketSize
from tests.entrypoints.api_examples import ANOTHER, DRAFT, ENVIRONMENT, EVENT, create, publish
from tests.entrypoints.api_services import Backstage, in_memory, log_success
from tests.entrypoints.checked_api import CheckedClient, called
from tests.entrypoints.example_data import failed

OF_ALL = f"/environments/{ENVIRONMENT}/stats"
NOTHING = {
    "attempts": {"succeeded": 0, "failed": 0, "interrupted": 0},
    "errors": {},
    "deliveries": {"succeeded": 0, "failed": 0, "skipped": 0, "cancelled": 0},
}
# The clock may pass into the next bucket meanwhile; no time that a test may ask for has passed yet.
SINCE = (datetime.now(UTC) - timedelta(minutes=30)).isoformat().replace("+00:00", "Z")


def stats_of(webhook: dict[str, Any]) -> str:
    return f"/webhooks/{webhook['webhook_id']}/stats"


async def one_succeeds_and_one_fails(stage: Backstage, api: CheckedClient) -> None:
    await publish(api, EVENT)
    await log_success(stage)
    await publish(api, EVENT)
    (claimed,) = await stage.begin(1)
    await stage.end(failed(claimed), claimed, Failed())


async def test_what_was_sent_is_counted_in_total_and_where_it_belongs(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    await one_succeeds_and_one_fails(stage, api)
    for path in (stats_of(webhook), OF_ALL):
        for bucket in BucketSize:
            shown = (await api.get(f"{path}?bucket={bucket}&since={SINCE}")).json
            total = shown["total"]
            assert total["attempts"] == {"succeeded": 1, "failed": 1, "interrupted": 0}
            assert total["errors"] == {"http_status": 1}
            assert total["deliveries"] == NOTHING["deliveries"] | {"succeeded": 1, "failed": 1}
            # 12.5 ms, which is at most 5 % off.
            assert total["attempt_duration_ms"]["p50"] == pytest.approx(12.5, rel=0.05)
            assert total["delivery_time_ms"].keys() == {"p50", "p95", "p99"}
            starts = [datetime.fromisoformat(one["start"]) for one in shown["buckets"]]
            ends = [*starts[1:], datetime.fromisoformat(shown["until"])]
            assert starts[0] == datetime.fromisoformat(shown["since"])
            assert {end - start for start, end in zip(starts, ends, strict=True)} == {bucket.length}
            counted = [one for one in shown["buckets"] if one["attempts"]["succeeded"]]
            assert len(counted) == 1
            quiet = [one for one in shown["buckets"] if not sum(one["attempts"].values())]
            assert all(one == {"start": one["start"]} | NOTHING for one in quiet)
            assert len(quiet) >= len(starts) - 2


async def test_without_a_time_it_is_the_last_hour_day_or_30_days(api: CheckedClient) -> None:
    path = stats_of(await create(api))
    for query, bucket, number in (
        ("", "hour", 25),
        ("?bucket=minute", "minute", 61),
        ("?bucket=day", "day", 31),
    ):
        shown = (await api.get(path + query)).json
        assert (shown["bucket"], shown["total"]) == (bucket, NOTHING)
        # One less if the request came on the stroke of a bucket.
        assert len(shown["buckets"]) in {number - 1, number}


async def test_a_webhook_counts_for_itself_and_a_deleted_one_for_its_environment(
    api: CheckedClient, stage: Backstage
) -> None:
    other = await create(api, DRAFT | {"events": ["job-created"]})
    webhook = await create(api)
    await one_succeeds_and_one_fails(stage, api)
    assert (await api.get(stats_of(other))).json["total"] == NOTHING
    before = (await api.get(OF_ALL)).json["total"]
    assert (await api.delete(f"/webhooks/{webhook['webhook_id']}")).status == 204
    assert (await api.get(stats_of(webhook))).status == 404
    assert (await api.get(OF_ALL)).json["total"] == before
    elsewhere = (await api.get(f"/environments/{ANOTHER}/stats")).json
    assert elsewhere["total"] == NOTHING


async def test_a_test_of_a_webhook_counts_as_an_attempt(api: CheckedClient) -> None:
    webhook = await create(api)
    assert (await api.post(f"/webhooks/{webhook['webhook_id']}/test", {})).status == 200
    total = (await api.get(stats_of(webhook))).json["total"]
    assert sum(total["attempts"].values()) == 1
    assert total["deliveries"] == NOTHING["deliveries"]
    assert set(AttemptOutcome) == total["attempts"].keys()


@pytest.mark.parametrize("stage", [in_memory], indirect=True)
@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("bucket=week", "bucket", "minute"),
        ("since=yesterday", "since", "time"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-02T00:00:00Z", "since", "not before until"),
        ("since=2999-01-01T00:00:00Z", "since", "not before until"),
        ("since=2001-01-01T00:00:00Z", "since", "at most 1,000"),
        ("bucket=minute&since=2026-01-01T00:00:00Z&until=2026-01-01T01:00:00Z", "since", "48"),
        ("step=hour", "step", "bucket, since, until"),
        ("since=0001-01-01T00:00:00%2B14:00", "since", ""),
    ],
)
async def test_a_time_that_cannot_be_told_of_is_refused_by_its_name(
    api: CheckedClient, query: str, field: str, says: str
) -> None:
    for path in (stats_of(await create(api)), OF_ALL):
        refused = await api.get(f"{path}?{query}")
        assert (refused.status, refused.json["error_code"]) == (400, 1101)
        assert refused.wrong_fields == {field}
        assert says in refused.error_about(field)


async def test_readers_see_their_environment_and_no_other(stage: Backstage) -> None:
    own = Caller("Anna", Scope.READ, frozenset({UUID(ENVIRONMENT)}))
    stranger = Caller("Ben", Scope.ADMIN, frozenset({UUID(ANOTHER)}))
    async with called(stage.application) as open_api:
        webhook = await create(open_api)
    credentials = [MemoryCredentials({"own": own, "stranger": stranger})]
    async with called(stage.but(credentials=credentials)) as api:
        for who, status in (("own", 200), ("stranger", 404)):
            headers = {"Authorization": f"Bearer {who}"}
            for path in (stats_of(webhook), OF_ALL):
                assert (await api.get(path, headers=headers)).status == status
        headers = {"Authorization": "Bearer own"}
        missing = await api.get(f"/webhooks/{uuid4()}/stats", headers=headers)
        assert (missing.status, missing.json["error_code"]) == (404, 1200)
