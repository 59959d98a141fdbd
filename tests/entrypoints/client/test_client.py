"""The client, against the API that it is a client of."""

import runpy
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from notification_client import (
    ApiRefused,
    NewEvent,
    NotFound,
    NotificationClient,
    Outdated,
    Webhook,
    WebhookDraft,
)
from notification_client.models import WebhookPatch
from notification_client.publishing import MAX_EVENTS
from tests.entrypoints.api_services import Backstage, log_success
from tests.entrypoints.checked_api import BASE, CheckedClient
from tests.support.dead_letters import OPERATORS_EVENT, a_dead_letter, an_event_by_now, bury

ENVIRONMENT = UUID("3f6c1d52-8f0e-4f5c-9a55-0c1d5d1f0b11")
DRAFT = WebhookDraft(
    name="CI",
    url="https://example.com/hook",
    events=["job-completed"],
    custom_headers={"Authorization": "Bearer opensesame"},
)
DATA = {
    "job_id": "0b9a4c1e-6f43-4a55-8a4b-6e3cf2f3c001",
    "pipeline_id": "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10",
    "status": "succeeded",
}
EVENT = NewEvent("job-completed", DATA)
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "use_client.py"


@pytest.fixture
async def client(api: CheckedClient) -> AsyncIterator[NotificationClient]:
    """Give a client of an API on loopback."""
    async with NotificationClient(f"{api.url}{BASE}") as opened:
        yield opened


@pytest.fixture
async def webhook(client: NotificationClient) -> Webhook:
    """Give a webhook that was created by the client."""
    return await client.create_webhook(ENVIRONMENT, DRAFT)


async def test_a_webhook_is_created_read_changed_replaced_and_deleted(
    client: NotificationClient, webhook: Webhook
) -> None:
    assert (webhook.name, webhook.url, webhook.events) == (DRAFT.name, DRAFT.url, DRAFT.events)
    assert (await client.webhook(webhook.webhook_id)).etag == webhook.etag

    patch = WebhookPatch(description="nightly", custom_headers=None)
    changed = await client.change_webhook(webhook.webhook_id, patch, etag=webhook.etag)
    assert (changed.description, changed.custom_headers) == ("nightly", {})
    assert changed.name == DRAFT.name, "what a patch does not name stays"

    replaced = await client.replace_webhook(webhook.webhook_id, DRAFT)
    assert replaced.description is None
    assert [each.webhook_id for each in await client.webhooks(ENVIRONMENT)] == [webhook.webhook_id]

    await client.delete_webhook(webhook.webhook_id, etag=replaced.etag)
    with pytest.raises(NotFound) as refused:
        await client.webhook(webhook.webhook_id)
    assert refused.value.request_id


async def test_a_webhook_that_somebody_else_has_changed_is_not_overwritten(
    client: NotificationClient, webhook: Webhook
) -> None:
    await client.change_webhook(webhook.webhook_id, WebhookPatch(name="other"))

    with pytest.raises(Outdated):
        await client.change_webhook(
            webhook.webhook_id, WebhookPatch(name="mine"), etag=webhook.etag
        )


async def test_what_a_message_says_already_is_not_said_again(client: NotificationClient) -> None:
    with pytest.raises(ApiRefused) as refused:
        await client.publish(ENVIRONMENT, [NewEvent("job-complete", {})])

    assert str(refused.value).count("Unknown event type") == 1
    assert [detail.field for detail in refused.value.details] == ["[0].event"]


async def test_an_error_names_the_fields(client: NotificationClient) -> None:
    draft = WebhookDraft(name="", url="https://example.com", events=["job-completed"])

    with pytest.raises(ApiRefused, match="name: ") as refused:
        await client.create_webhook(ENVIRONMENT, draft)

    assert refused.value.status == 400
    assert [detail.field for detail in refused.value.details] == ["name"]


def test_no_secret_is_in_a_repr() -> None:
    assert "opensesame" not in repr(DRAFT)
    assert "opensesame" not in repr(WebhookPatch(custom_headers={"A": "opensesame"}))


async def test_publishing_returns_the_outcome_of_each_event(client: NotificationClient) -> None:
    first, again, other = (
        NewEvent("job-completed", DATA, "1"),
        NewEvent("job-completed", DATA, "1"),
        EVENT,
    )

    published = await client.publish(ENVIRONMENT, [first, again, other])

    assert [event.duplicate for event in published] == [False, True, False]
    assert [event.event_id for event in published[:2]] == ["1", "1"]
    assert str(UUID(published[2].event_id)) == published[2].event_id


async def test_a_warning_tells_what_does_not_match_the_schema(client: NotificationClient) -> None:
    (published,) = await client.publish(ENVIRONMENT, [NewEvent("job-completed", {"status": 1})])

    assert "data.job_id" in {warning.field for warning in published.warnings}


async def test_more_events_than_a_request_takes_are_published(client: NotificationClient) -> None:
    count = MAX_EVENTS + 1

    async def stream() -> AsyncIterator[NewEvent]:
        for number in range(count):
            yield NewEvent("job-completed", DATA, str(number))

    published = [event.event_id async for event in client.publish_stream(ENVIRONMENT, stream())]

    assert published == [str(number) for number in range(count)]
    listed = {event.event_id async for event in client.events(ENVIRONMENT)}
    assert len(listed) == count, "a list is read to its end, page by page"


async def test_a_refused_event_is_named_by_its_place_among_all(client: NotificationClient) -> None:
    events = [EVENT] * MAX_EVENTS + [NewEvent("no-such-type", DATA)]

    with pytest.raises(ApiRefused) as refused:
        await client.publish(ENVIRONMENT, events)

    assert refused.value.details[0].field == f"[{MAX_EVENTS}].event"


async def test_the_delivery_status_of_an_event_is_looked_up(
    client: NotificationClient, webhook: Webhook, stage: Backstage
) -> None:
    (published,) = await client.publish(ENVIRONMENT, [EVENT])
    await log_success(stage)

    event = await client.event(ENVIRONMENT, published.event_id)
    assert [delivery.state for delivery in event.deliveries] == ["succeeded"]
    (delivery,) = [each async for each in client.deliveries(webhook.webhook_id, state="succeeded")]
    (log,) = (await client.delivery(delivery.delivery_id)).attempts
    assert [each async for each in client.logs(webhook.webhook_id, outcome="succeeded")] == [log]
    assert log.response is not None
    assert log.response.http_code == 204


async def test_deliveries_are_retried(
    client: NotificationClient, webhook: Webhook, stage: Backstage
) -> None:
    await client.publish(ENVIRONMENT, [EVENT])
    attempt = await log_success(stage)
    since, states = datetime.now(UTC) - timedelta(hours=1), ["succeeded"]
    counted = await client.count_replay(webhook.webhook_id, since, states=states)
    replay = await client.start_replay(webhook.webhook_id, since, states=states)

    assert counted.count == 1
    assert replay == await client.replay(webhook.webhook_id, replay.replay_id)
    assert [each async for each in client.replays(webhook.webhook_id)] == [replay]
    await client.cancel_replay(webhook.webhook_id, replay.replay_id)
    assert (await client.replay(webhook.webhook_id, replay.replay_id)).state == "cancelled"
    assert (await client.redeliver(attempt.delivery_id)).origin == "retry"


async def test_a_filter_is_tried_on_stored_events(
    client: NotificationClient, webhook: Webhook
) -> None:
    await client.publish(ENVIRONMENT, [EVENT])

    trial = await client.try_filter(webhook.webhook_id, {"type": "object"})

    assert (trial.tried, trial.matched) == (1, 1)


async def test_a_webhook_is_tested(
    client: NotificationClient, webhook: Webhook, stage: Backstage
) -> None:
    log = await client.test_webhook(webhook.webhook_id, "job-completed")

    assert (log.event, log.attempt) == ("job-completed", 1)
    assert len(stage.sender.requests) == 1


async def test_the_verification_key_is_rotated(client: NotificationClient) -> None:
    before = await client.settings(ENVIRONMENT)

    made = await client.rotate_verification_key(ENVIRONMENT)

    after = await client.settings(ENVIRONMENT)
    assert {key.id for key in after.verification_keys} == {
        before.public_verification_key.id,
        made.id,
    }


async def test_api_keys_are_created_listed_and_revoked(client: NotificationClient) -> None:
    made = await client.create_api_key("CI", "write", [ENVIRONMENT])
    assert made.key.startswith("whk_")
    assert made.key not in repr(made)

    await client.revoke_api_key(made.key_id)

    (listed,) = [key async for key in client.api_keys()]
    assert (listed.key_id, listed.state, listed.environments) == (
        made.key_id,
        "revoked",
        [ENVIRONMENT],
    )
    actions = {entry.action async for entry in client.audit()}
    assert len(actions) == 2


async def test_portal_sessions_are_created_listed_and_revoked(client: NotificationClient) -> None:
    made = await client.create_portal_session(ENVIRONMENT, "write", "Anna", "8h")
    assert made.url not in repr(made)
    assert (made.expires_at - datetime.now(UTC)).total_seconds() > 7 * 3600

    (listed,) = [session async for session in client.portal_sessions(ENVIRONMENT)]
    assert (listed.session_id, listed.name, listed.scope) == (made.session_id, "Anna", "write")
    assert not listed.opened

    await client.revoke_portal_session(ENVIRONMENT, made.session_id)
    assert [session async for session in client.portal_sessions(ENVIRONMENT)] == []


async def test_an_environment_is_erased(client: NotificationClient) -> None:
    begun = await client.erase_environment(ENVIRONMENT)

    assert (await client.erasure(ENVIRONMENT)).requested_at == begun.requested_at


async def test_the_example_of_the_guide_runs(
    api: CheckedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    example = runpy.run_path(str(EXAMPLE))

    await example["main"](ENVIRONMENT, f"{api.url}{BASE}")

    first, second, *deliveries = capsys.readouterr().out.splitlines()
    assert first.endswith("stored")
    assert second.endswith("stored")
    assert [line.split()[1:] for line in deliveries] == [["pending", "0"]] * 2


async def test_the_catalogue_is_read(client: NotificationClient) -> None:
    names = {event_type.name for event_type in await client.event_types()}

    assert "job-completed" in names


async def test_what_does_not_exist_is_an_error_of_its_own(client: NotificationClient) -> None:
    with pytest.raises(NotFound):
        await client.delivery(uuid4())


async def test_dead_letters_are_listed_shown_and_replayed(
    client: NotificationClient, stage: Backstage
) -> None:
    poison = await bury(stage.storage, a_dead_letter(b"\xff{", reason="It was not UTF-8."))
    event, _ = await bury(stage.storage, a_dead_letter(an_event_by_now(ENVIRONMENT), offset=1))
    newest, oldest = [letter async for letter in client.dead_letters()]
    assert (newest.letter_id, oldest.letter_id) == (event, *poison)
    assert (oldest.reason, oldest.value_size) == ("It was not UTF-8.", 2)
    whole = await client.dead_letter(oldest.letter_id)
    assert (whole.key, whole.value, whole.value_text) == (b"job-7", b"\xff{", None)
    assert [(header.name, header.value) for header in whole.headers] == [
        ("traceparent", b"00"),
        ("raw", b"\xff"),
        ("none", None),
    ]
    assert "job-7" not in repr(whole)
    replayed = await client.replay_dead_letter(event)
    assert (replayed.environment_id, replayed.event_id) == (ENVIRONMENT, OPERATORS_EVENT)
    assert not replayed.duplicate
    with pytest.raises(ApiRefused) as refused:
        await client.replay_dead_letter(oldest.letter_id)
    assert (refused.value.status, refused.value.code) == (409, 1306)
    assert [detail.field for detail in refused.value.details] == ["body"]
    with pytest.raises(NotFound):
        await client.dead_letter(event)
