"""Retries, errors and misuse of the client's transport, against servers that fail on purpose."""

from datetime import timedelta
from uuid import UUID

import pytest

from notification_client import (
    ApiUnavailable,
    NewEvent,
    NotAuthorized,
    NotificationClient,
    NotOurApi,
    WebhookDraft,
)
from tests.entrypoints.fake_api import FakeApi, fake_api

ENVIRONMENT = UUID(int=1)
EVENTS = f"/environments/{ENVIRONMENT}/events"
WEBHOOKS = f"/environments/{ENVIRONMENT}/webhooks"
KEY = "whk_opensesame"
AWAY = {
    "error_code": 1901,
    "http_code": 503,
    "message": "The storage is unavailable.",
    "internal_message": "",
    "stacktrace": [],
    "request_id": "7",
}


async def _publish(api: FakeApi, retry_for: float = 30) -> list[str]:
    seen: list[str] = []
    async with NotificationClient(
        api.url,
        api_key=KEY,
        retry_for=timedelta(seconds=retry_for),
        on_retry=lambda error: seen.append(str(error)),
    ) as client:
        await client.publish(ENVIRONMENT, [NewEvent("job-completed", {})])
    return seen


async def test_a_request_that_cannot_be_served_now_is_repeated_with_the_same_event_id() -> None:
    with fake_api() as api:
        stored = 202, [{"event_id": "1", "duplicate": False}]
        api.responds("POST", EVENTS, (503, AWAY), (429, AWAY), stored)

        told = await _publish(api)

        first, *others = api.bodies()
        assert others == [first, first], "the id is made before the first try"
        assert api.requests[0].authorization == f"Bearer {KEY}"
        assert told == [
            "The API returned 503: The storage is unavailable.",
            "The API returned 429: The storage is unavailable.",
        ]


async def test_retry_after_bounds_the_next_try_from_below() -> None:
    with fake_api() as api:
        api.responds("POST", EVENTS, (503, AWAY, {"Retry-After": "60"}))

        with pytest.raises(ApiUnavailable) as unavailable:
            await _publish(api)

        assert unavailable.value.status == 503
        assert len(api.requests) == 1, "the time would be over before the API wants a request"


async def test_an_unreachable_api_is_named_by_its_url() -> None:
    with fake_api() as api:
        pass

    with pytest.raises(ApiUnavailable, match=api.url) as unavailable:
        await _publish(api, retry_for=0)

    assert unavailable.value.status is None
    assert KEY not in str(unavailable.value)


async def test_what_must_not_happen_twice_is_tried_once() -> None:
    with fake_api() as api:
        api.responds("POST", "/keys", (503, AWAY))

        async with NotificationClient(api.url) as client:
            with pytest.raises(ApiUnavailable):
                await client.create_api_key("CI", "read")

        assert len(api.requests) == 1


async def test_too_much_at_once_is_published_in_halves() -> None:
    with fake_api() as api:
        too_large = (413, AWAY | {"http_code": 413, "message": "Too many deliveries."})
        api.responds(
            "POST",
            EVENTS,
            too_large,
            (202, [{"event_id": "1", "duplicate": False}]),
            (202, [{"event_id": "2", "duplicate": False}]),
        )
        async with NotificationClient(api.url) as client:
            events = [NewEvent("job-completed", {}, "1"), NewEvent("job-completed", {}, "2")]
            published = await client.publish(ENVIRONMENT, events)

    assert [event.event_id for event in published] == ["1", "2"]


async def test_a_key_that_is_refused_is_an_error_of_its_own() -> None:
    with fake_api() as api:
        api.responds("GET", WEBHOOKS, (401, AWAY | {"message": "Invalid credentials."}))

        async with NotificationClient(api.url, api_key=KEY) as client:
            with pytest.raises(NotAuthorized, match="Invalid credentials") as refused:
                await client.webhooks(ENVIRONMENT)

    assert (refused.value.status, refused.value.code, refused.value.request_id) == (401, 1901, "7")


@pytest.mark.parametrize(
    "response", [(200, "hello", {"Content-Type": "text/html"}), (404, ["nothing"])]
)
async def test_another_server_is_told_from_the_api(
    response: tuple[int, object] | tuple[int, object, dict[str, str]],
) -> None:
    with fake_api() as api:
        api.responds("GET", WEBHOOKS, response)

        async with NotificationClient(api.url) as client:
            with pytest.raises(NotOurApi, match=api.url):
                await client.webhooks(ENVIRONMENT)


@pytest.mark.parametrize("url", ["localhost:3615", "ftp://localhost", "http://"])
def test_what_is_not_a_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is not the URL of an API"):
        NotificationClient(url)


async def test_a_client_that_was_not_entered_says_so() -> None:
    client = NotificationClient("http://127.0.0.1:9/api")

    with pytest.raises(RuntimeError, match="async with"):
        await client.create_webhook(ENVIRONMENT, WebhookDraft(name="", url="", events=[]))
