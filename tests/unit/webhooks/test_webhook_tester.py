"""Trying webhooks out: what is sent, and that it has no consequences."""

import asyncio
import json
from datetime import timedelta

import attrs
import pytest

from notification_adapters.memory.sender import Hang
from notification_core.errors import (
    Resource,
    ResourceShort,
    ResponseAlreadyStored,
    StorageUnavailable,
    TooManyWebhookTests,
    WebhookNotFound,
)
from notification_core.model.delivery import Attempt, AttemptOutcome, DeliveryState, ErrorCode
from notification_core.model.request_records import RequestRecords, StoredResponse
from notification_core.model.webhook import FOREVER
from notification_core.signing.verification import verify_standard_webhook
from notification_core.webhooks.webhook_tester import MOST_AT_ONCE
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT, EVENT_TYPES, an_id


async def test_the_example_of_the_event_type_is_sent_signed_and_logged(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    attempt = await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id, "job-completed")
    (request,) = app.sender.requests
    body = json.loads(request.body)
    assert request.url == webhook.url
    assert body["data"] == EVENT_TYPES["job-completed"].example
    assert (body["type"], body["id"]) == ("job-completed", attempt.event_id)
    assert attempt.event_id.startswith("test-")
    (key,) = await app.key_cache.get(ENVIRONMENT)
    headers = dict(request.headers)
    verify_standard_webhook(request.body, headers, key.public_key.hex(), now=app.clock.now())
    assert headers["webhook-delivery"] == str(attempt.delivery_id)
    assert (attempt.number, attempt.outcome, attempt.next_attempt_at) == (1, "succeeded", None)
    assert list(app.storage.state.attempts.values()) == [attempt]
    assert app.observer.outcomes == [(AttemptOutcome.SUCCEEDED, None)]


async def test_by_default_it_is_an_event_that_the_webhook_subscribes_to(app: MemoryApp) -> None:
    webhook = await app.add_webhook(events=frozenset({"job-completed", "job-created"}))
    attempt = await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)
    assert attempt.event_type == "job-created"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (500, ErrorCode.HTTP_STATUS),
        (410, ErrorCode.GONE),
        (ErrorCode.CONNECT, ErrorCode.CONNECT),
        (ErrorCode.DESTINATION_NOT_ALLOWED, ErrorCode.DESTINATION_NOT_ALLOWED),
    ],
)
async def test_a_failure_is_told_and_has_no_consequences(
    app: MemoryApp, response: int | ErrorCode, error: ErrorCode
) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, response)
    attempt = await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)
    assert attempt.error is not None
    assert (attempt.outcome, attempt.error.code) == ("failed", error)
    assert app.storage.state.webhooks[webhook.webhook_id] == webhook
    (delivery,) = app.storage.state.deliveries.values()
    assert (delivery.state, delivery.worker) == (DeliveryState.FAILED, None)
    assert not app.observer.failed
    assert not app.observer.disabled


async def test_a_webhook_test_that_cannot_be_sent_for_want_of_a_resource_blames_no_receiver(
    app: MemoryApp,
) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, ResourceShort(Resource.DESCRIPTORS))
    attempt = await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)
    assert attempt.outcome is AttemptOutcome.INTERRUPTED
    assert app.observer.exhausted == [Resource.DESCRIPTORS]


async def test_a_disabled_webhook_is_tried_out_before_it_is_enabled(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.storage.state.change(attrs.evolve(webhook, disabled_until=FOREVER))
    attempt = await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)
    assert attempt.outcome is AttemptOutcome.SUCCEEDED


async def test_nothing_is_sent_without_such_a_webhook_or_key(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    for environment_id, webhook_id in ((ENVIRONMENT, an_id()), (an_id(), webhook.webhook_id)):
        with pytest.raises(WebhookNotFound):
            await app.webhook_tester.send(environment_id, webhook_id)
    app.faults.unreachable = True
    with pytest.raises(StorageUnavailable):
        await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)
    assert not app.sender.requests
    assert not app.storage.state.deliveries


async def test_a_caller_who_goes_away_leaves_a_webhook_test_that_is_logged(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    caller = asyncio.create_task(app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id))
    await app.sender.wait_for(1)
    caller.cancel()
    drain = asyncio.create_task(app.webhook_tester.drain())
    await asyncio.sleep(0)
    assert not drain.done()
    app.sender.release(webhook.url)
    await drain
    (attempt,) = app.storage.state.attempts.values()
    assert attempt.outcome is AttemptOutcome.SUCCEEDED


async def test_only_so_many_are_under_way_at_once(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    callers = [
        asyncio.create_task(app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id))
        for _ in range(MOST_AT_ONCE)
    ]
    await app.sender.wait_for(MOST_AT_ONCE)
    with pytest.raises(TooManyWebhookTests):
        await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)
    app.sender.release(webhook.url)
    assert len(await asyncio.gather(*callers)) == MOST_AT_ONCE
    app.sender.respond(webhook.url, 200)
    await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id)


async def test_an_attempt_whose_lease_ran_out_is_told_and_noted_as_fenced(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    caller = asyncio.create_task(app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id))
    await app.sender.wait_for(1)
    await app.clock.advance(31)
    await app.storage.deliveries.reap([], timedelta())
    app.sender.release(webhook.url)
    assert (await caller).outcome is AttemptOutcome.SUCCEEDED
    (logged,) = app.storage.state.attempts.values()
    assert logged.outcome is AttemptOutcome.INTERRUPTED
    assert app.observer.fenced == 1


async def test_a_request_that_has_begun_or_was_answered_sends_nothing_more(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)

    def keep(attempt: Attempt | None) -> RequestRecords:
        name = attempt.log_id.bytes if attempt else b""
        return [StoredResponse(ENVIRONMENT, "test", "asked", name, app.clock.now())]

    first = asyncio.create_task(
        app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id, make_records=keep)
    )
    await app.sender.wait_for(1)
    with pytest.raises(ResponseAlreadyStored):
        await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id, make_records=keep)
    app.sender.release(webhook.url)
    answered = await first
    with pytest.raises(ResponseAlreadyStored):
        await app.webhook_tester.send(ENVIRONMENT, webhook.webhook_id, make_records=keep)
    assert len(app.sender.requests) == 1
    (stored,) = app.storage.state.responses.values()
    assert stored.response == answered.log_id.bytes
    assert {one.state for one in app.storage.state.deliveries.values()} == {DeliveryState.SUCCEEDED}
