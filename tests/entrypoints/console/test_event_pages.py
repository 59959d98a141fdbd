"""Events: finding one, why it did not arrive at each webhook, publishing an example."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from notification_entrypoints.console.json_view import json_view
from notification_entrypoints.console.outcomes import outcome_at, sentence_of
from tests.entrypoints.api_services import log_gone, log_success
from tests.entrypoints.console.conftest import HOSTILE, Console
from tests.entrypoints.console.scenes import publish, subscribed

NOW = datetime(2026, 11, 30, 7, tzinfo=UTC)
EARLIER, LATER = "2026-11-30T06:00:00Z", "2026-11-30T06:30:00Z"
HEALTHY = {"state": "healthy", "consecutive_failures": 0}
EVENT = {"event": "job-created", "stored_at": LATER}


def a_webhook(**fields: Any) -> dict[str, Any]:
    known = {"webhook_id": str(uuid4()), "name": "W", "events": ["job-created"], "health": HEALTHY}
    return {**known, "created_at": EARLIER, "updated_at": EARLIER, **fields}


def a_delivery(**fields: Any) -> dict[str, Any]:
    return {"delivery_id": str(uuid4()), "state": "pending", "attempt": 0, **fields}


async def test_without_events_the_list_says_how_to_get_one(console: Console) -> None:
    page = await console.get(console.of_environment("/events"))
    assert "No events yet" in page.words
    assert f"/console{console.of_environment('/publish')}" in page.links


async def test_an_event_is_found_in_the_list_by_its_type_and_by_its_id(console: Console) -> None:
    await subscribed(console)
    event_id = await publish(console, event_id="a/b é")
    page = await console.get(console.of_environment("/events"), params={"event": "job-created"})
    assert "1 pending" in page.words
    page = await console.get(console.of_environment("/events"), params={"event": "job-completed"})
    assert "No event matches." in page.words
    page = await console.get(console.of_environment("/events"), params={"id": f" {event_id} "})
    assert page.status == 200
    assert "What happened to it" in page.words
    page = await console.get(console.of_environment("/events"), params={"id": "unknown"})
    assert (page.status, "no such event" in page.words.lower()) == (404, True)


async def test_shows_the_delivery_status_at_every_webhook(console: Console) -> None:
    await subscribed(console, name=HOSTILE)
    await subscribed(console, name="Other type", events=["job-completed"])
    await subscribed(console, name="Off", disabled_until="2999-01-01T00:00:00Z")
    event_id = await publish(console)
    await log_success(console.stage)
    page = await console.get(console.of_environment(f"/events/{event_id}"))
    assert f"{HOSTILE} succeeded Delivered with 1 attempt." in page.words
    assert "Other type not sent The webhook does not subscribe to job-created." in page.words
    assert "Off skipped The webhook was disabled when the event arrived." in page.words
    assert "204" in page.words
    assert "<script>alert" not in page.text


async def test_the_body_is_shown_byte_for_byte_and_never_as_markup(console: Console) -> None:
    await subscribed(console)
    event_id = await publish(console, data={"html": "<img src=x onerror=alert(1)>"})
    page = await console.get(console.of_environment(f"/events/{event_id}"))
    assert '"data":{"html": "<img src=x onerror=alert(1)>"}' in page.words
    assert "<img src=x" not in page.text


async def test_an_event_that_nobody_wanted_has_no_body(console: Console) -> None:
    event_id = await publish(console)
    page = await console.get(console.of_environment(f"/events/{event_id}"))
    assert "delivered to nobody" in page.words
    assert "No body is stored" in page.words


async def test_an_example_is_published_and_its_event_shown(console: Console) -> None:
    await subscribed(console)
    form = await console.get(console.of_environment("/publish"), params={"type": "job-created"})
    assert "assembly-hall" in form.words
    fields = {"event": "job-created", "data": "{}", "idempotency_key": "k"}
    page = await console.post(console.of_environment("/publish"), **fields)
    assert "/events/" in page.url
    assert "Receiver pending" in page.words
    again = await console.post(console.of_environment("/publish"), **fields)
    assert again.url == page.url


@pytest.mark.parametrize(("data", "told"), [("{", "This is not JSON"), ("NaN", "not JSON")])
async def test_data_that_is_not_json_is_said_at_its_field(
    console: Console, data: str, told: str
) -> None:
    page = await console.post(console.of_environment("/publish"), event="job-created", data=data)
    assert page.status == 400
    assert told in page.words
    assert 'id="data-error"' in page.text


@pytest.mark.parametrize(
    ("webhook", "deliveries", "state", "told"),
    [
        ({"created_at": "2026-11-30T06:45:00Z"}, [], "not sent", "created after"),
        ({"events": ["x"]}, [], "not sent", "does not subscribe to job-created"),
        ({"updated_at": "2026-11-30T06:45:00Z"}, [], "not sent", "has been changed since"),
        ({}, [], "not sent", "There is no delivery"),
        ({}, [a_delivery()], "pending", "first attempt"),
        ({}, [a_delivery(attempt=2)], "retrying", "it is retried"),
        ({}, [a_delivery(held=True)], "pending", "same ordering key"),
        ({"disabled_until": "2999-01-01T00:00:00Z"}, [a_delivery()], "pending", "is disabled"),
        ({"health": {"state": "paused"}}, [a_delivery(attempt=1)], "retrying", "is paused"),
        ({"rate_limit": 5}, [a_delivery()], "pending", "at most 5 requests"),
        ({}, [a_delivery(state="failed", attempt=4)], "failed", "after 4 attempts"),
        ({}, [a_delivery(state="failed", reason="webhook_paused")], "failed", "too long"),
        ({}, [a_delivery(state="skipped", reason="queue_full")], "skipped", "Too many"),
        ({}, [a_delivery(state="skipped", reason="filter_not_matched")], "skipped", "filter"),
        ({}, [a_delivery(state="cancelled", reason="webhook_deleted")], "cancelled", "deleted"),
        ({}, [a_delivery(state="succeeded", attempt=1, origin="retry")], "succeeded", "by hand"),
    ],
)
def test_each_way_to_arrive_or_not_has_its_sentence(
    webhook: dict[str, Any], deliveries: list[Any], state: str, told: str
) -> None:
    outcome = outcome_at(a_webhook(**webhook), EVENT, deliveries, NOW)
    assert (outcome.state, told in outcome.sentence) == (state, True)


def test_a_reason_that_is_new_is_said_as_it_is() -> None:
    told = sentence_of(a_delivery(state="cancelled", reason="of_tomorrow"), None, NOW)
    assert told == "Ended as cancelled."


def test_json_is_shown_as_a_tree_within_bounds() -> None:
    shown = json_view('{"a": [1, {"<b>": null}], "e": {}}')
    assert shown is not None
    assert "&lt;b&gt;" in shown
    assert shown.count("<details") == 3
    assert json_view("[" * 30 + "]" * 30) is None
    assert json_view('"text"') is None
    assert json_view("{") is None
    assert json_view(f'["{"x" * 70_000}"]') is None


async def test_an_event_of_a_webhook_that_is_gone_says_what_helps(console: Console) -> None:
    await subscribed(console)
    event_id = await publish(console)
    await log_gone(console.stage)
    page = await console.get(console.of_environment(f"/events/{event_id}"))
    assert "Receiver failed Failed after 1 attempt" in page.words
    assert "Redeliver to Receiver" in page.words
