"""The pages of webhooks: listing, creating, changing, testing, disabling, deleting."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from notification_core.model.delivery import ReceivedResponse
from notification_core.model.phases import Phases
from tests.entrypoints.api_services import log_gone, log_success
from tests.entrypoints.console.conftest import HOSTILE, Console
from tests.entrypoints.console.scenes import get_webhook, publish, subscribed

MS = timedelta(milliseconds=1)
FORM = {"name": "Mine", "url": "https://example.com/", "method": "post", "events": "job-created"}


def path(console: Console, webhook_id: str, page: str = "") -> str:
    return console.of_environment(f"/webhooks/{webhook_id}{page}")


async def test_without_webhooks_the_list_says_how_to_get_one(console: Console) -> None:
    page = await console.get(console.of_environment("/webhooks"))
    assert "No webhooks yet" in page.words
    assert f"/console{console.of_environment('/webhooks/new')}" in page.links


async def test_lists_each_webhook_with_its_state_and_what_it_did(console: Console) -> None:
    webhook_id = await subscribed(console, name=HOSTILE)
    await publish(console)
    await log_success(console.stage)
    page = await console.get(console.of_environment("/webhooks"))
    assert f"{HOSTILE} healthy" in page.words
    assert "100 %" in page.words
    assert f"/console{path(console, webhook_id)}" in page.links
    assert "<script>alert" not in page.text


async def test_the_list_takes_as_many_statements_for_three_webhooks_as_for_one(
    console: Console,
) -> None:
    """What each of them did is one question."""
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    taken = []
    for number in (1, 2):
        for _ in range(number):
            await subscribed(console)
        await console.get(console.of_environment("/webhooks"))
        statements.clear()
        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        try:
            page = await console.get(console.of_environment("/webhooks"))
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", note)
        assert page.status == 200
        taken.append(len(statements))
    assert taken[0] == taken[1] > 0


async def test_the_list_is_searched_by_name_and_narrowed_by_state(console: Console) -> None:
    await subscribed(console, name="First")
    await subscribed(console, name="Second")
    page = await console.get(console.of_environment("/webhooks"), params={"q": "sec"})
    assert "Second" in page.words
    assert "First" not in page.words
    page = await console.get(console.of_environment("/webhooks"), params={"state": "paused"})
    assert "No webhook matches" in page.words


async def test_a_webhook_is_created_by_its_form_and_once_only(console: Console) -> None:
    new = await console.get(console.of_environment("/webhooks/new"))
    form = {**FORM, "idempotency_key": new.field("idempotency_key")}
    form |= {"header_name": "X-Tenant", "header_value": "7", "retry.max_retries": "5"}
    form |= {"filter": '{"type": "object"}', "rate_limit": "9", "ordered": "true"}
    made = await console.post(console.of_environment("/webhooks/new"), **form)
    assert made.status == 200
    assert "Created." in made.words
    webhook = await get_webhook(console, made.url.rpartition("/")[2].partition("?")[0])
    assert webhook["custom_headers"] == {"X-Tenant": "7"}
    assert webhook["retry"] == {"max_retries": 5}
    assert webhook["filter"] == {"type": "object"}
    assert (webhook["rate_limit"], webhook["ordered"]) == (9, True)
    again = await console.post(console.of_environment("/webhooks/new"), **form)
    assert again.url == made.url


async def test_what_is_wrong_stands_at_its_field_and_nothing_is_lost(console: Console) -> None:
    wrong = {**FORM, "name": "", "url": "ftp://x", "retry.max_retries": "99", "rate_limit": "many"}
    page = await console.post(console.of_environment("/webhooks/new"), **wrong)
    assert page.status == 400
    for field in ("name", "url", "retry-max_retries", "rate_limit"):
        assert f'id="{field}-error"' in page.text
    assert "Nothing was saved" in page.words
    assert (page.field("url"), page.field("retry.max_retries")) == ("ftp://x", "99")


async def test_a_filter_that_is_not_json_is_said_at_its_field(console: Console) -> None:
    page = await console.post(console.of_environment("/webhooks/new"), **FORM, filter="{")
    assert page.status == 400
    assert "This is not JSON" in page.words


async def test_a_webhook_is_changed_and_keeps_what_the_form_does_not_have(
    console: Console,
) -> None:
    webhook_id = await subscribed(
        console,
        custom_headers={"X-Token": "hush", "X-Tenant": "7"},
        disabled_until="2999-01-01T00:00:00Z",
    )
    form = await console.get(path(console, webhook_id, "/edit"))
    assert "hush" not in form.text
    page = await console.post(
        path(console, webhook_id, "/edit"),
        **{**FORM, "name": "Renamed", "url": "https://example.com/hook"},
        etag=form.field("etag"),
        header_name="X-Token",
        header_value="***",
    )
    assert "Saved." in page.words
    webhook = await get_webhook(console, webhook_id)
    assert webhook["name"] == "Renamed"
    assert webhook["disabled_until"].startswith("2999")
    assert webhook["custom_headers"] == {"X-Token": "***"}


async def test_a_change_does_not_overwrite_what_another_one_did_meanwhile(
    console: Console,
) -> None:
    webhook_id = await subscribed(console)
    form = await console.get(path(console, webhook_id, "/edit"))
    await console.post(path(console, webhook_id, "/disable"))
    page = await console.post(
        path(console, webhook_id, "/edit"), **{**FORM, "name": "Late"}, etag=form.field("etag")
    )
    assert page.status == 412
    assert "The webhook has changed" in page.words
    assert (await get_webhook(console, webhook_id))["name"] == "Receiver"


async def test_a_filter_is_tried_on_the_events_that_are_stored(console: Console) -> None:
    webhook_id = await subscribed(console)
    await publish(console, data={"status": "succeeded"})
    await publish(console, data={"status": "failed"})
    wanted = '{"properties": {"data": {"properties": {"status": {"const": "failed"}}}}}'
    page = await console.post(
        path(console, webhook_id, "/edit"), **FORM, filter=wanted, action="try"
    )
    assert "1 of the latest 2 events match." in page.words
    assert "filter" not in await get_webhook(console, webhook_id)


async def test_the_schedule_of_what_was_entered_is_shown_without_saving(console: Console) -> None:
    webhook_id = await subscribed(console)
    policy = {"retry.max_retries": "3", "retry.interval": "10s", "retry.backoff": "2"}
    page = await console.post(
        path(console, webhook_id, "/edit"), **FORM, **policy, action="preview"
    )
    assert "4 attempts over 1 min, then the delivery has failed." in page.words
    assert "10.0 s" in page.words
    assert "retry" not in await get_webhook(console, webhook_id)


async def test_a_test_event_is_sent_and_its_response_shown(console: Console) -> None:
    webhook_id = await subscribed(console)
    console.stage.sender.respond("https://example.com/hook", 503)
    page = await console.post(path(console, webhook_id, "/test"), event="job-created")
    assert "The test event failed 503" in page.words
    assert "look for the cause" in page.words


async def test_where_the_time_of_a_test_went_is_shown(console: Console) -> None:
    webhook_id = await subscribed(console)
    measured = ReceivedResponse(204, (), b"", phases=Phases(connect=MS, first_byte=2 * MS))
    console.stage.sender.respond("https://example.com/hook", measured)
    page = await console.post(path(console, webhook_id, "/test"), event="job-created")
    assert "TCP connection 1.0 ms First byte 2.0 ms" in page.words
    assert "A new connection was opened." in page.words


async def test_it_is_disabled_for_a_time_and_enabled_again(console: Console) -> None:
    webhook_id = await subscribed(console)
    page = await console.post(path(console, webhook_id, "/disable"), hours="24")
    assert "Receiver disabled" in page.words
    assert "disabled_until" in await get_webhook(console, webhook_id)
    page = await console.post(path(console, webhook_id, "/enable"))
    assert "Receiver healthy" in page.words
    assert "disabled_until" not in await get_webhook(console, webhook_id)


async def test_its_deliveries_are_listed_with_why_and_filtered(console: Console) -> None:
    webhook_id = await subscribed(console)
    kept = await publish(console)
    page = await console.get(path(console, webhook_id))
    assert kept in page.words
    page = await console.get(path(console, webhook_id), params={"state": "failed"})
    assert kept not in page.words
    page = await console.get(path(console, webhook_id), params={"http_code": "nonsense"})
    assert page.status == 400


async def test_a_webhook_that_the_system_disabled_says_why_and_what_helps(
    console: Console,
) -> None:
    webhook_id = await subscribed(console)
    await publish(console)
    await log_gone(console.stage)
    page = await console.get(path(console, webhook_id))
    assert "The receiver responded with 410 Gone. Enable it once the URL is right." in page.words


async def test_it_is_deleted_only_by_its_name(console: Console) -> None:
    webhook_id = await subscribed(console, name="Precious")
    page = await console.post(path(console, webhook_id, "/delete"), confirm="precious")
    assert page.status == 400
    assert "This is not the name of the webhook." in page.words
    page = await console.post(path(console, webhook_id, "/delete"), confirm="Precious")
    assert "No webhooks yet" in page.words
    assert (await console.get(path(console, webhook_id))).status == 404


@pytest.mark.parametrize("page", ["", "/edit", "/verification", "/replays"])
async def test_a_webhook_is_not_shown_in_another_environment(console: Console, page: str) -> None:
    webhook_id = await subscribed(console)
    shown = await console.get(path(console, webhook_id, page))
    assert shown.status == 200
    other = path(console, webhook_id, page).replace("0b6f2e0c", "1b6f2e0c")
    assert (await console.get(other)).status == 404


async def test_a_replay_is_counted_before_it_is_started(console: Console) -> None:
    webhook_id = await subscribed(console, disabled_until="2999-01-01T00:00:00Z")
    await publish(console)
    form = {"since": "2020-01-01T00:00:00Z", "states": "skipped"}
    page = await console.post(path(console, webhook_id, "/replays"), **form, action="start")
    assert page.status == 409
    assert "The webhook is disabled. Enable it first." in page.words
    await console.post(path(console, webhook_id, "/enable"))
    form = {"since": "2020-01-01T00:00:00Z", "states": "skipped"}
    page = await console.post(path(console, webhook_id, "/replays"), **form, action="count")
    assert "1 deliveries would be repeated" in page.words
    assert "None yet." in page.words
    page = await console.post(path(console, webhook_id, "/replays"), **form, action="start")
    assert "running" in page.words
    (cancel,) = [link for link in page.text.split('"') if link.endswith("/cancel")]
    page = await console.post(cancel)
    assert "cancelled" in page.words


async def test_a_wrong_time_of_a_replay_is_said_at_its_field(console: Console) -> None:
    webhook_id = await subscribed(console)
    page = await console.post(path(console, webhook_id, "/replays"), since="soon", states="failed")
    assert page.status == 400
    assert 'id="since-error"' in page.text
