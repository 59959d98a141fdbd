"""Bad input: the response says what is wrong, where, and what would be right; no effect."""

import json
from typing import Any
from uuid import uuid4

import pytest
from attrs import field, frozen

from tests.entrypoints.api_examples import DRAFT, ENVIRONMENT, EVENT, EVENTS, JSON, WEBHOOKS, create
from tests.entrypoints.api_services import in_memory
from tests.entrypoints.checked_api import CheckedClient

pytestmark = pytest.mark.parametrize("stage", [in_memory], indirect=True)
"""What is refused never comes to storage: one is enough."""


@frozen
class Wrong:
    """A webhook with one thing wrong: where that is, and what the response must say of it."""

    draft: Any
    where: str
    says: str


def but(**fields: Any) -> dict[str, Any]:
    """Return a good draft with some fields changed; None takes a field out."""
    changed = DRAFT | fields
    return {name: value for name, value in changed.items() if value is not ...}


def nested(levels: int) -> dict[str, Any]:
    """Return a schema of so many levels."""
    return {"not": nested(levels - 1)} if levels > 1 else {}


WRONG_DRAFTS = {
    "no name": Wrong(but(name=...), "name", "missing"),
    "empty name": Wrong(but(name=""), "name", "a length of 1 or more"),
    "long name": Wrong(but(name="x" * 257), "name", "a length of 256 or less"),
    "name of another type": Wrong(but(name=7), "name", "a number. Give a string"),
    "name that no storage holds": Wrong(but(name="a\0b"), "name", "U+0000"),
    "no url": Wrong(but(url=...), "url", "missing"),
    "url without a scheme": Wrong(but(url="example.com/hook"), "url", "https://host/path"),
    "url of another scheme": Wrong(but(url="ftp://example.com/"), "url", "Use http or https"),
    "url with a password": Wrong(but(url="https://a:b@example.com/"), "url", "custom header"),
    "url of this host": Wrong(but(url="http://127.0.0.1/"), "url", "public address"),
    "url of a metadata service": Wrong(but(url="http://169.254.169.254/"), "url", "public address"),
    "url of an inside name": Wrong(but(url="http://db.internal/"), "url", "public host name"),
    "url with a port of mail": Wrong(but(url="http://example.com:25/"), "url", "80, 443"),
    "long url": Wrong(but(url=f"https://example.com/{'x' * 2048}"), "url", "2048 or less"),
    "no events": Wrong(but(events=...), "events", "missing"),
    "empty events": Wrong(but(events=[]), "events", "1 or more"),
    "unknown event": Wrong(but(events=["job-exploded"]), "events[0]", "job-completed"),
    "event twice": Wrong(but(events=["job-created"] * 2), "events", "Give each once"),
    "events of another type": Wrong(but(events="job-created"), "events", "Give an array"),
    "unknown method": Wrong(but(method="head"), "method", "get, post, put, patch, delete"),
    "method in capitals": Wrong(but(method="POST"), "method", "get, post, put, patch, delete"),
    "description that is null": Wrong(but(description=None), "description", "Leave the field out"),
    "long description": Wrong(but(description="x" * 4097), "description", "4096 or less"),
    "no time": Wrong(but(disabled_until="tomorrow"), "disabled_until", "RFC 3339"),
    "a date alone": Wrong(but(disabled_until="2031-01-01"), "disabled_until", "RFC 3339"),
    "time that ends after the calendar": Wrong(
        but(disabled_until="9999-12-31T23:59:59-05:00"), "disabled_until", "RFC 3339"
    ),
    "time that is a number": Wrong(but(disabled_until=1), "disabled_until", "Give a string"),
    "no headers in there": Wrong(but(custom_headers={}), "custom_headers", "leave the field out"),
    "too many headers": Wrong(
        but(custom_headers={f"X-{n}": "v" for n in range(11)}), "custom_headers", "10 or fewer"
    ),
    "header of ours": Wrong(
        but(custom_headers={"Webhook-Id": "v"}), "custom_headers.Webhook-Id", "reserved"
    ),
    "header of the configured signature": Wrong(
        but(custom_headers={"x-signature": "v"}), "custom_headers.x-signature", "reserved"
    ),
    "header that is no token": Wrong(
        but(custom_headers={"X Y": "v"}), "custom_headers.X Y", "letters, digits"
    ),
    "header that breaks the line": Wrong(
        but(custom_headers={"X-A": "a\r\nX-B: b"}), "custom_headers.X-A", "visible ASCII"
    ),
    "header of another type": Wrong(
        but(custom_headers={"X-A": 1}), "custom_headers.X-A", "Give a string"
    ),
    "header twice": Wrong(
        but(custom_headers={"X-A": "1", "x-a": "2"}), "custom_headers.x-a", "give it once"
    ),
    "filter that is none": Wrong(but(filter="failed"), "filter", "Give an object"),
    "retries that are a number": Wrong(but(retry=3), "retry", "Give an object"),
    "retries that say nothing": Wrong(but(retry={}), "retry", "leave the field out"),
    "retries with a stranger": Wrong(but(retry={"delay": "1s"}), "retry.delay", "max_interval"),
    "too many retries": Wrong(but(retry={"max_retries": 21}), "retry.max_retries", "20 or less"),
    "interval of ISO": Wrong(but(retry={"interval": "PT1S"}), "retry.interval", "such as 250ms"),
    "interval of a number": Wrong(but(retry={"interval": 1}), "retry.interval", "Give a string"),
    "short interval": Wrong(but(retry={"interval": "99ms"}), "retry.interval", "100ms to 24h"),
    "long interval": Wrong(but(retry={"interval": "25h"}), "retry.interval", "100ms to 24h"),
    "small backoff": Wrong(but(retry={"backoff": 0.5}), "retry.backoff", "1 or more"),
    "longest below the first": Wrong(
        but(retry={"interval": "2h", "max_interval": "1h"}), "retry.max_interval", "2h to 168h"
    ),
    "time limit that is none": Wrong(but(timeout="soon"), "timeout", "such as 250ms"),
    "time limit beyond ours": Wrong(but(timeout="1001ms"), "timeout", "100ms to 1s"),
    "filter that is null": Wrong(but(filter=None), "filter", "Leave the field out"),
    "filter with a reference": Wrong(
        but(filter={"not": {"$ref": "#"}}), "filter.not.$ref", "Write the schema where"
    ),
    "filter with a pattern that is none": Wrong(
        but(filter={"pattern": "(?=a)"}), "filter.pattern", "without look-around"
    ),
    "filter that is too deep": Wrong(
        but(filter={"not": nested(16)}), "filter.not" + ".not" * 15, "at most 16"
    ),
    "unknown field": Wrong(but(retries=3), "retries", "The fields are name, url"),
    "rate limit of 0": Wrong(but(rate_limit=0), "rate_limit", "1"),
    "rate limit beyond what there is": Wrong(but(rate_limit=1001), "rate_limit", "1000"),
    "rate limit of half a request": Wrong(but(rate_limit=0.5), "rate_limit", "whole number"),
    "no object": Wrong([DRAFT], "body", "Give an object"),
}


class TestWrongWebhooks:
    @pytest.mark.parametrize("wrong", WRONG_DRAFTS.values(), ids=WRONG_DRAFTS)
    async def test_it_is_refused_with_the_field_and_what_would_be_right(
        self, api: CheckedClient, wrong: Wrong
    ) -> None:
        response = await api.post(WEBHOOKS, wrong.draft)
        assert (response.status, response.json["error_code"]) == (400, 1100)
        assert wrong.where in response.wrong_fields
        assert wrong.says in response.error_about(wrong.where)
        assert (await api.get(WEBHOOKS)).json == []

    async def test_a_put_is_validated_like_a_post_and_changes_nothing(
        self, api: CheckedClient
    ) -> None:
        webhook = await create(api)
        path = f"/webhooks/{webhook['webhook_id']}"
        response = await api.put(path, but(name="Other", url="http://10.0.0.1/"))
        assert response.wrong_fields == {"url"}
        assert (await api.get(path)).json == webhook

    async def test_everything_that_is_wrong_is_said_at_once(self, api: CheckedClient) -> None:
        draft = {
            "nome": "Job results",
            "url": "http://localhost/",
            "events": ["job-created", 1, "an x"],
            "method": "trace",
            "disabled_until": "soon",
            "custom_headers": {"Host": "x"},
        }
        response = await api.post(WEBHOOKS, draft)
        assert response.wrong_fields == {
            "name",
            "nome",
            "url",
            "events[1]",
            "events[2]",
            "method",
            "disabled_until",
            "custom_headers.Host",
        }

    async def test_a_secret_is_not_repeated_in_the_complaint(self, api: CheckedClient) -> None:
        secret = "tiptop-s3cret"
        headers = {"Authorization": f"{secret}\n", "X-Token": [secret], "Bad Name": secret}
        response = await api.post(WEBHOOKS, but(custom_headers=headers))
        assert response.status == 400
        assert secret not in json.dumps(response.json)

    async def test_the_complaints_are_bounded(self, api: CheckedClient) -> None:
        response = await api.post(WEBHOOKS, but(events=[f"no-{n}" for n in range(1000)]))
        assert len(response.json["details"]) == 100

    @pytest.mark.parametrize(
        ("fields", "where"),
        [
            ({"events": ["job-created"] * 1001}, "events"),
            ({"custom_headers": {f"X-{n}": "v" for n in range(1001)}}, "custom_headers"),
            ({f"no-{n}": 1 for n in range(1001)}, "body"),
        ],
    )
    async def test_more_elements_than_anybody_needs_are_not_looked_at_one_by_one(
        self, api: CheckedClient, fields: dict[str, Any], where: str
    ) -> None:
        response = await api.post(WEBHOOKS, but(**fields))
        assert (response.status, response.json["error_code"]) == (400, 1100)
        assert response.wrong_fields == {where}
        assert "1,000 or fewer" in response.error_about(where)


@frozen
class WrongBody:
    """A body that is no JSON, or no JSON that can be meant."""

    body: bytes
    says: str
    code: int = 1007
    where: str = field(default="body")


WRONG_BODIES = {
    "empty": WrongBody(b"", "truncated"),
    "cut": WrongBody(b'{"name": "x"', "truncated"),
    "no UTF-8": WrongBody(b'{"name": "\xff"}', "Byte"),
    "not a number": WrongBody(b'{"name": NaN}', "invalid character"),
    "half a character": WrongBody(b'{"name": "\\ud800"}', ""),
    "deep": WrongBody(b'{"a":' * 20_000, "nested too deeply"),
    "65 levels": WrongBody(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "nested too deeply"),
    "255 levels": WrongBody(b'{"a":' + b"[" * 254 + b"]" * 254 + b"}", "nested too deeply"),
    "closed too often": WrongBody(b'{"a": 1}' + b"]" * 100, "trailing characters"),
    "a name twice": WrongBody(b'{"url": "a", "url": "b"}', "more than once", 1100, "url"),
    "long integer": WrongBody(b'{"name": ' + b"9" * 5000 + b"}", "out of range"),
}


class TestWrongBodies:
    @pytest.mark.parametrize("wrong", WRONG_BODIES.values(), ids=WRONG_BODIES)
    async def test_it_is_refused_with_the_reason(
        self, api: CheckedClient, wrong: WrongBody
    ) -> None:
        response = await api.call("POST", WEBHOOKS, data=wrong.body, headers=JSON)
        assert (response.status, response.json["error_code"]) == (400, wrong.code)
        assert wrong.says in response.error_about(wrong.where)

    @pytest.mark.parametrize("path", [WEBHOOKS, EVENTS])
    @pytest.mark.parametrize(
        "content_type",
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
    )
    async def test_another_media_type_is_refused(
        self, api: CheckedClient, path: str, content_type: str
    ) -> None:
        headers = {"Content-Type": content_type}
        response = await api.call("POST", path, data=b"{}", headers=headers)
        assert (response.status, response.json["error_code"]) == (415, 1006)
        assert "application/json" in response.json["message"]

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json; charset=UTF-8",
            'Application/JSON ;Charset="utf-8"',
            "application/json; profile=x; charset=utf8;",
        ],
    )
    async def test_json_may_say_that_it_is_in_utf_8(
        self, api: CheckedClient, content_type: str
    ) -> None:
        headers = {"Content-Type": content_type}
        response = await api.call("POST", EVENTS, data=json.dumps(EVENT).encode(), headers=headers)
        assert response.status == 202

    async def test_64_levels_are_allowed(self, api: CheckedClient) -> None:
        body = json.dumps(DRAFT)[:-1].encode() + b', "a": ' + b"[" * 63 + b"]" * 63 + b"}"
        response = await api.call("POST", WEBHOOKS, data=body, headers=JSON)
        assert response.wrong_fields == {"a"}


@frozen
class WrongEvent:
    """A publication that is refused, and where and why."""

    body: Any
    where: str
    says: str


WRONG_EVENTS = {
    "no type": WrongEvent({"data": 1}, "event", "required"),
    "no data": WrongEvent({"event": "job-created"}, "data", "required"),
    "unknown type": WrongEvent({"event": "job-exploded", "data": 1}, "event", "job-completed"),
    "unknown field": WrongEvent(EVENT | {"envronment": 1}, "envronment", "Unknown field"),
    "an environment": WrongEvent(EVENT | {"environment_id": ENVIRONMENT}, "environment_id", "no"),
    "empty id": WrongEvent(EVENT | {"event_id": ""}, "event_id", "1 to 256"),
    "no time": WrongEvent(EVENT | {"occurred_at": "now"}, "occurred_at", "RFC 3339"),
    "one of a batch": WrongEvent([EVENT, EVENT | {"event": 1}], "[1].event", "Not a string"),
    "empty batch": WrongEvent([], "body", "1 to 1,000"),
}


class TestWrongEvents:
    @pytest.mark.parametrize("wrong", WRONG_EVENTS.values(), ids=WRONG_EVENTS)
    async def test_it_is_refused_with_the_field_and_what_would_be_right(
        self, api: CheckedClient, wrong: WrongEvent
    ) -> None:
        response = await api.post(EVENTS, wrong.body)
        assert (response.status, response.json["error_code"]) == (400, 1300)
        assert response.wrong_fields == {wrong.where}
        assert wrong.says in response.error_about(wrong.where)

    async def test_more_than_a_thousand_at_once_are_too_many(self, api: CheckedClient) -> None:
        response = await api.post(EVENTS, [EVENT] * 1001)
        assert (response.status, response.json["error_code"]) == (413, 1301)
        assert "1,000" in response.json["message"]


@frozen
class WrongPath:
    """A path whose parameters are wrong."""

    path: str
    where: str
    says: str


WEBHOOK = f"/webhooks/{uuid4()}"
WRONG_PATHS = {
    "environment": WrongPath("/environments/mine/webhooks", "environment_id", "a UUID"),
    "webhook": WrongPath("/webhooks/1", "webhook_id", "a UUID"),
    "no hyphens": WrongPath(f"/webhooks/{uuid4().hex}", "webhook_id", "a UUID"),
    "no limit": WrongPath(f"{WEBHOOK}/logs?limit=0", "limit", "1 or more"),
    "high limit": WrongPath(f"{WEBHOOK}/logs?limit=101", "limit", "100 or less"),
    "limit in words": WrongPath(f"{WEBHOOK}/logs?limit=ten", "limit", "a whole number"),
    "endless limit": WrongPath(f"{WEBHOOK}/logs?limit={'9' * 5000}", "limit", "a whole number"),
    "two limits": WrongPath(f"{WEBHOOK}/logs?limit=1&limit=2", "limit", "once"),
    "made-up cursor": WrongPath(f"{EVENTS}/a?cursor=2", "cursor", "Link header"),
    "cursor of no letters": WrongPath(f"{EVENTS}/a?cursor=%C3%A9", "cursor", "Link header"),
    "empty cursor": WrongPath(f"{WEBHOOK}/logs?cursor=", "cursor", "a length of 1 or more"),
    "filter that is none": WrongPath(
        f"{WEBHOOK}/logs?status=failed", "status", "There are outcome, event, http_code, since"
    ),
    "outcome that is none": WrongPath(f"{WEBHOOK}/logs?outcome=lost", "outcome", "interrupted"),
    "event that is none": WrongPath(f"{WEBHOOK}/logs?event=job%20lost", "event", "A-Za-z0-9"),
    "code in words": WrongPath(f"{WEBHOOK}/logs?http_code=teapot", "http_code", "a whole number"),
    "low code": WrongPath(f"{WEBHOOK}/logs?http_code=99", "http_code", "100 or more"),
    "no time": WrongPath(f"{WEBHOOK}/logs?since=yesterday", "since", "RFC 3339"),
    "state that is none": WrongPath(f"{WEBHOOK}/deliveries?state=lost", "state", "cancelled"),
    "outcome of deliveries": WrongPath(
        f"{WEBHOOK}/deliveries?outcome=failed", "outcome", "There are state, event, http_code"
    ),
    "state of events": WrongPath(f"{EVENTS}?state=failed", "state", "There are event, since"),
    "no time of events": WrongPath(f"{EVENTS}?until=1e9", "until", "RFC 3339"),
    "parameter of an operation that takes none": WrongPath(
        f"{WEBHOOK}?limit=1", "limit", "takes none"
    ),
}


@pytest.mark.parametrize("wrong", WRONG_PATHS.values(), ids=WRONG_PATHS)
async def test_a_wrong_parameter_is_refused_with_its_name_and_what_would_be_right(
    api: CheckedClient, wrong: WrongPath
) -> None:
    response = await api.get(wrong.path)
    assert (response.status, response.json["error_code"]) == (400, 1101)
    assert response.wrong_fields == {wrong.where}
    assert wrong.says in response.error_about(wrong.where)


@pytest.mark.parametrize("rest", ["", "/logs"])
async def test_a_webhook_that_does_not_exist_is_not_found(api: CheckedClient, rest: str) -> None:
    response = await api.get(f"/webhooks/{uuid4()}{rest}")
    assert (response.status, response.json["error_code"]) == (404, 1200)
