"""Trying webhooks out: what is sent, and that it has no consequences."""

import asyncio
import json
from datetime import timedelta

import attrs
import pytest

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.memory.sender import Hang, ScriptedSender
from notification_core.concurrency.ids import IdGenerator
from notification_core.dispatch.attempt import AttemptMaker, DeliveryRules
from notification_core.errors import (
    AlreadyAnswered,
    Resource,
    ResourceShort,
    StorageUnavailable,
    TooManyTrials,
    WebhookNotFound,
)
from notification_core.model.delivery import Attempt, AttemptOutcome, DeliveryState, ErrorCode
from notification_core.model.event_types import EVENT_TYPES
from notification_core.model.idempotency import KeptAnswer
from notification_core.model.request_records import RequestRecords
from notification_core.model.retry_policy import RetryPolicy
from notification_core.model.webhook import FOREVER, Webhook
from notification_core.signing.key_cache import SigningKeyCache
from notification_core.signing.signatures import SignatureCache
from notification_core.signing.signing import CryptographySigner, SignatureHeaders
from notification_core.signing.verification import verify_standard_webhook
from notification_core.webhooks.webhook_tester import MOST_AT_ONCE, WebhookTester
from tests.support.faulty_stores import Faults, FaultyKeys
from tests.support.observers import RecordingObserver
from tests.support.samples import CREATED, ENVIRONMENT, a_webhook, an_id

RULES = DeliveryRules(timedelta(seconds=10), RetryPolicy())
SIGNATURES = SignatureHeaders("X-Sig", "X-Time")


@attrs.define
class World:
    """Trials on memory stores and a sender that answers by a script."""

    storage: MemoryStorage
    sender: ScriptedSender
    trouble: Faults
    keyring: SigningKeyCache
    notebook: RecordingObserver
    trials: WebhookTester
    clock: ManualClock

    async def webhook(self, *events: str) -> Webhook:
        webhook = a_webhook(events=frozenset(events or {CREATED}))
        await self.storage.webhooks.add(webhook, 100)
        return webhook


@pytest.fixture
def world() -> World:
    clock, trouble, notebook, sender = (
        ManualClock(),
        Faults(),
        RecordingObserver(),
        ScriptedSender(),
    )
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids)
    keyring = SigningKeyCache(FaultyKeys(storage.keys, trouble), clock, lambda: b"s" * 32)
    signatures = SignatureCache(SIGNATURES, CryptographySigner())
    trials = WebhookTester(
        store=storage.trials,
        webhooks=storage.webhooks,
        keyring=keyring,
        deliver=AttemptMaker(sender, signatures, clock, ids, RULES, lambda: 0.0),
        clock=clock,
        ids=ids,
        observer=notebook,
        lease=timedelta(seconds=30),
    )
    return World(storage, sender, trouble, keyring, notebook, trials, clock)


async def test_the_example_of_the_event_type_is_sent_signed_and_logged(world: World) -> None:
    webhook = await world.webhook()
    attempt = await world.trials.send(ENVIRONMENT, webhook.webhook_id, "job-completed")
    (request,) = world.sender.requests
    body = json.loads(request.body)
    assert request.url == webhook.url
    assert body["data"] == EVENT_TYPES["job-completed"].example
    assert (body["type"], body["id"]) == ("job-completed", attempt.event_id)
    assert attempt.event_id.startswith("test-")
    (key,) = await world.keyring.keys(ENVIRONMENT)
    headers = dict(request.headers)
    verify_standard_webhook(request.body, headers, key.public_key.hex(), now=world.clock.now())
    assert headers["webhook-delivery"] == str(attempt.delivery_id)
    assert (attempt.number, attempt.outcome, attempt.next_attempt_at) == (1, "succeeded", None)
    assert list(world.storage.state.attempts.values()) == [attempt]
    assert world.notebook.outcomes == [(AttemptOutcome.SUCCEEDED, None)]


async def test_by_default_it_is_an_event_that_the_webhook_subscribes_to(world: World) -> None:
    webhook = await world.webhook("job-completed", "job-created")
    attempt = await world.trials.send(ENVIRONMENT, webhook.webhook_id)
    assert attempt.event_type == "job-created"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (500, ErrorCode.HTTP_STATUS),
        (410, ErrorCode.GONE),
        (ErrorCode.CONNECT, ErrorCode.CONNECT),
        (ErrorCode.DESTINATION_NOT_ALLOWED, ErrorCode.DESTINATION_NOT_ALLOWED),
    ],
)
async def test_a_failure_is_told_and_has_no_consequences(
    world: World, answer: int | ErrorCode, error: ErrorCode
) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, answer)
    attempt = await world.trials.send(ENVIRONMENT, webhook.webhook_id)
    assert attempt.error is not None
    assert (attempt.outcome, attempt.error.code) == ("failed", error)
    assert world.storage.state.webhooks[webhook.webhook_id] == webhook
    (delivery,) = world.storage.state.deliveries.values()
    assert (delivery.state, delivery.worker) == (DeliveryState.FAILED, None)
    assert not world.notebook.failed
    assert not world.notebook.disabled


async def test_a_trial_that_cannot_be_sent_for_want_of_a_resource_blames_no_receiver(
    world: World,
) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, ResourceShort(Resource.DESCRIPTORS))
    attempt = await world.trials.send(ENVIRONMENT, webhook.webhook_id)
    assert attempt.outcome is AttemptOutcome.INTERRUPTED
    assert world.notebook.short == [Resource.DESCRIPTORS]


async def test_a_disabled_webhook_is_tried_out_before_it_is_enabled(world: World) -> None:
    webhook = await world.webhook()
    world.storage.state.change(attrs.evolve(webhook, disabled_until=FOREVER))
    attempt = await world.trials.send(ENVIRONMENT, webhook.webhook_id)
    assert attempt.outcome is AttemptOutcome.SUCCEEDED


async def test_nothing_is_sent_where_there_is_no_such_webhook_or_no_key(world: World) -> None:
    webhook = await world.webhook()
    for environment_id, webhook_id in ((ENVIRONMENT, an_id()), (an_id(), webhook.webhook_id)):
        with pytest.raises(WebhookNotFound):
            await world.trials.send(environment_id, webhook_id)
    world.trouble.away = True
    with pytest.raises(StorageUnavailable):
        await world.trials.send(ENVIRONMENT, webhook.webhook_id)
    assert not world.sender.requests
    assert not world.storage.state.deliveries


async def test_a_caller_who_goes_away_leaves_a_trial_that_is_logged(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    caller = asyncio.create_task(world.trials.send(ENVIRONMENT, webhook.webhook_id))
    await world.sender.wait_for(1)
    caller.cancel()
    settled = asyncio.create_task(world.trials.settled())
    await asyncio.sleep(0)
    assert not settled.done()
    world.sender.release(webhook.url)
    await settled
    (attempt,) = world.storage.state.attempts.values()
    assert attempt.outcome is AttemptOutcome.SUCCEEDED


async def test_only_so_many_are_under_way_at_once(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    callers = [
        asyncio.create_task(world.trials.send(ENVIRONMENT, webhook.webhook_id))
        for _ in range(MOST_AT_ONCE)
    ]
    await world.sender.wait_for(MOST_AT_ONCE)
    with pytest.raises(TooManyTrials):
        await world.trials.send(ENVIRONMENT, webhook.webhook_id)
    world.sender.release(webhook.url)
    assert len(await asyncio.gather(*callers)) == MOST_AT_ONCE
    world.sender.answer(webhook.url, 200)
    await world.trials.send(ENVIRONMENT, webhook.webhook_id)


async def test_an_attempt_whose_lease_ran_out_is_told_and_noted_as_fenced(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    caller = asyncio.create_task(world.trials.send(ENVIRONMENT, webhook.webhook_id))
    await world.sender.wait_for(1)
    await world.clock.advance(31)
    await world.storage.deliveries.reap([], timedelta())
    world.sender.release(webhook.url)
    assert (await caller).outcome is AttemptOutcome.SUCCEEDED
    (logged,) = world.storage.state.attempts.values()
    assert logged.outcome is AttemptOutcome.INTERRUPTED
    assert world.notebook.fenced == 1


async def test_a_request_that_has_begun_or_was_answered_sends_nothing_more(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)

    def keep(attempt: Attempt | None) -> RequestRecords:
        name = attempt.log_id.bytes if attempt else b""
        return [KeptAnswer(ENVIRONMENT, "test", "asked", name, world.clock.now())]

    first = asyncio.create_task(world.trials.send(ENVIRONMENT, webhook.webhook_id, keep=keep))
    await world.sender.wait_for(1)
    with pytest.raises(AlreadyAnswered):
        await world.trials.send(ENVIRONMENT, webhook.webhook_id, keep=keep)
    world.sender.release(webhook.url)
    answered = await first
    with pytest.raises(AlreadyAnswered):
        await world.trials.send(ENVIRONMENT, webhook.webhook_id, keep=keep)
    assert len(world.sender.requests) == 1
    (kept,) = world.storage.state.answers.values()
    assert kept.answer == answered.log_id.bytes
    assert {one.state for one in world.storage.state.deliveries.values()} == {
        DeliveryState.SUCCEEDED
    }
