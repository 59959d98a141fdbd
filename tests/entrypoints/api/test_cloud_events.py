"""Publishing CloudEvents over HTTP, in the three modes of their binding."""

import json
from io import BytesIO
from typing import Any

import pytest

from tests.entrypoints.api_examples import ENVIRONMENT, JOB, create
from tests.entrypoints.api_services import Backstage
from tests.entrypoints.checked_api import ApiResponse, CheckedClient

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"
DATA = json.dumps(JOB, indent=1)
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "1234-1234-1234",
    "source": "/mycontext/subcontext",
    "type": "job-completed",
    "time": "2018-04-05T03:56:24Z",
}


async def post(api: CheckedClient, body: str, content_type: str, **headers: str) -> ApiResponse:
    return await api.call(
        "POST",
        f"/environments/{ENVIRONMENT}/events",
        data=BytesIO(body.encode()),
        headers={"Content-Type": content_type, **headers},
    )


def structured(data: str = DATA, **changes: Any) -> str:
    """Return a CloudEvent whose attributes are changed, or omitted if they are ...."""
    attributes = {k: value for k, value in {**ATTRIBUTES, **changes}.items() if value is not ...}
    return f'{json.dumps(attributes)[:-1]}, "data": {data}}}'


def binary(**changes: Any) -> dict[str, str]:
    attributes = {k: value for k, value in {**ATTRIBUTES, **changes}.items() if value is not ...}
    return {f"ce-{name}": value for name, value in attributes.items()}


async def sent(stage: Backstage) -> dict[str, Any]:
    """Return what is sent of the one event, with its data as text."""
    (claimed,) = await stage.begin(1)
    body = claimed.body.decode()
    head, _, data = body.partition(',"data":')
    return {**json.loads(f"{head}}}"), "data": data[:-1]}


EXPECTED = {
    "id": "1234-1234-1234",
    "type": "job-completed",
    "timestamp": "2018-04-05T03:56:24.000000Z",
    "environment_id": ENVIRONMENT,
    "data": DATA,
}


# The scenarios of the conformance suite's HTTP protocol binding.


@pytest.mark.parametrize(
    "content_type",
    [
        *(JSON, "application/json; charset=utf-8"),
        # What data of the binding is, any media type may say (HTTP binding, section 3.1.1).
        *("application/vnd.example.job+json", "Text/JSON; charset=UTF-8; version=2"),
    ],
)
async def test_binary_content_mode(api: CheckedClient, stage: Backstage, content_type: str) -> None:
    await create(api)
    published = await post(api, DATA, content_type, **binary())
    assert (published.status, published.json) == (
        202,
        {"event_id": "1234-1234-1234", "duplicate": False},
    )
    assert await sent(stage) == EXPECTED


@pytest.mark.parametrize("content_type", [STRUCTURED, f"{STRUCTURED}; charset=utf-8"])
async def test_structured_content_mode(
    api: CheckedClient, stage: Backstage, content_type: str
) -> None:
    await create(api)
    published = await post(api, structured(datacontenttype=JSON), content_type)
    assert (published.status, published.json) == (
        202,
        {"event_id": "1234-1234-1234", "duplicate": False},
    )
    assert await sent(stage) == EXPECTED


# Batches, as the suite's JSON format has them.


async def test_a_batch_is_answered_in_its_order(api: CheckedClient) -> None:
    body = f"[{structured(id='a')}, {structured(id='b', time=...)}, {structured(id='a')}]"
    published = await post(api, body, BATCH)
    assert [(one["event_id"], one["duplicate"]) for one in published.json] == [
        ("a", False),
        ("b", False),
        ("a", True),
    ]


@pytest.mark.parametrize("body", ["[]", " [ ]\n"])
async def test_an_empty_batch_is_taken(api: CheckedClient, body: str) -> None:
    for headers in ({}, {"Idempotency-Key": "k"}):
        published = await post(api, body, BATCH, **headers)
        assert (published.status, published.json) == (202, [])


async def test_what_is_wrong_in_a_batch_is_named_and_nothing_is_stored(
    api: CheckedClient,
) -> None:
    wrong = [structured(), structured(id=...), '"not an object"', structured(specversion="0.9")]
    refused = await post(api, f"[{', '.join(wrong)}]", BATCH)
    assert (refused.status, refused.json["error_code"]) == (400, 1300)
    assert refused.wrong_fields == {"[1].id", "[2]", "[3].specversion"}
    assert not (await post(api, structured(), STRUCTURED)).json["duplicate"]


# What is our own: the environment, the strictness, and what an answer says.


async def test_the_environment_may_be_left_out_and_must_be_the_paths(api: CheckedClient) -> None:
    other = "9d7e0000-0000-4000-8000-000000000000"
    assert (await post(api, structured(environmentid=ENVIRONMENT), STRUCTURED)).status == 202
    for refused in (
        await post(api, structured(environmentid=other), STRUCTURED),
        await post(api, DATA, JSON, **binary(environmentid=other)),
    ):
        assert (refused.status, refused.wrong_fields) == (400, {"environmentid"})
        assert f"give {ENVIRONMENT}" in refused.error_about("environmentid")
    refused = await post(api, f"[{structured(environmentid=other)}]", BATCH)
    assert refused.wrong_fields == {"[0].environmentid"}


@pytest.mark.parametrize("name", ["id", "source", "type"])
async def test_a_required_attribute_is_missed(api: CheckedClient, name: str) -> None:
    missing: dict[str, Any] = {name: ...}
    assert (await post(api, structured(**missing), STRUCTURED)).wrong_fields == {name}
    assert (await post(api, DATA, JSON, **binary(**missing))).wrong_fields == {name}


async def test_headers_are_decoded(api: CheckedClient) -> None:
    given = {"ce-id": '"a%20\\"b%C3%A9"', "Ce-Source": "/%F0%9F%98%80"}
    published = await post(api, DATA, JSON, **{**binary(id=..., source=...), **given})
    assert published.json["event_id"] == 'a "b\N{LATIN SMALL LETTER E WITH ACUTE}'
    refused = await post(api, DATA, JSON, **binary(id="%ff"))
    assert refused.wrong_fields == {"id"}


async def test_data_goes_on_byte_for_byte(api: CheckedClient, stage: Backstage) -> None:
    await create(api)
    data = '{ "n":1.50, "u":"\\u00e9\\u0000", "a":1,"a":2, "big":' + "9" * 400 + "}"
    assert (await post(api, structured(data), STRUCTURED)).status == 202
    assert (await sent(stage))["data"] == data
    await post(api, data, JSON, **binary(id="b"))
    assert (await sent(stage))["data"] == data


async def test_data_that_does_not_fit_has_warnings(api: CheckedClient) -> None:
    published = await post(api, '{"job_id": 7}', JSON, **binary())
    assert "data.job_id" in [warning["field"] for warning in published.json["warnings"]]


async def test_an_event_in_another_mode_is_the_same_event(api: CheckedClient) -> None:
    await post(api, structured(), STRUCTURED)
    assert (await post(api, DATA, JSON, **binary())).json["duplicate"]
    own = json.dumps({"event": "job-completed", "event_id": ATTRIBUTES["id"], "data": JOB})
    assert (await post(api, own, JSON)).json["duplicate"]


async def test_a_key_is_not_reused_for_an_event_that_differs_in_its_headers(
    api: CheckedClient,
) -> None:
    key = {"Idempotency-Key": "k"}
    first = await post(api, DATA, JSON, **binary(), **key)
    again = await post(api, DATA, JSON, **binary(), **key)
    assert first.json == again.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await post(api, DATA, JSON, **binary(id="other"), **key)).status == 422
    # Only the attempt to publish differs.
    span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    retried = await post(api, DATA, JSON, **binary(traceparent=span), **key)
    assert retried.headers["Idempotent-Replayed"] == "true"


async def test_what_is_no_cloud_event_of_json_is_refused(api: CheckedClient) -> None:
    assert (await post(api, "<a/>", "application/cloudevents+xml")).status == 415
    for content_type in ("application/xml", "text/json; charset=latin-1", "json", STRUCTURED + "x"):
        assert (await post(api, "<a/>", content_type, **binary())).status == 415
    assert (await post(api, DATA, "application/vnd.example.job+json")).status == 415
    assert (await post(api, "{", STRUCTURED)).wrong_fields == {"body"}
    assert (await post(api, "{}", BATCH)).status == 400
    large = structured('"' + "x" * 2**20 + '"')
    refused = await post(api, f"[{structured(id='a')}, {large}]", BATCH)
    assert (refused.status, refused.wrong_fields) == (413, {"[1]"})


async def test_a_large_batch_is_read_beside_the_loop(api: CheckedClient) -> None:
    events = [structured(id=str(number)) for number in range(1_000)]
    assert len((await post(api, f"[{', '.join(events)}]", BATCH)).json) == 1_000
    refused = await post(api, f"[{', '.join([*events, events[0]])}]", BATCH)
    assert refused.status == 413
