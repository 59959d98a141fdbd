"""What storage promises of the requests by which webhooks are tried out."""

from datetime import timedelta

import pytest
from attrs import evolve

from notification_core.errors import ResponseAlreadyStored
from notification_core.model.delivery import (
    TEST_WORKER,
    Attempt,
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryOrigin,
    DeliveryState,
    EndReason,
    Failed,
    Fence,
    Succeeded,
)
from notification_core.model.request_records import RequestRecords, StoredResponse
from notification_core.model.webhook import Webhook
from tests.contracts.harness import DELAY, LEASE, Harness, ids_of


async def _begin(
    harness: Harness, webhook: Webhook, records: RequestRecords = ()
) -> ClaimedDelivery:
    """Begin a test of a webhook."""
    event = harness.event(f"test-{harness.ids()}")
    claimed = ClaimedDelivery(
        fence=Fence(harness.ids(), harness.environment_id, 1, TEST_WORKER),
        webhook_id=webhook.webhook_id,
        event_id=event.event.event_id,
        event_type=event.event.type,
        failures=0,
        body=event.body or b"",
    )
    await harness.storage.webhook_tests.begin(event, claimed, LEASE, records)
    return claimed


def _attempt(harness: Harness, claimed: ClaimedDelivery, *, succeeded: bool = True) -> Attempt:
    return harness.result(claimed, Succeeded() if succeeded else Failed()).attempt


@pytest.mark.parametrize(
    ("succeeded", "end"),
    [(True, DeliveryState.SUCCEEDED), (False, DeliveryState.FAILED)],
    ids=["well", "badly"],
)
async def test_a_webhook_test_is_logged_and_its_delivery_ends_as_it_did(
    harness: Harness, *, succeeded: bool, end: DeliveryState
) -> None:
    webhook = await harness.webhook()
    claimed = await _begin(harness, webhook)
    attempt = _attempt(harness, claimed, succeeded=succeeded)
    assert await harness.storage.webhook_tests.finish(attempt)
    assert list(await harness.log(webhook)) == [attempt]
    key = harness.environment_id, claimed.fence.delivery_id
    delivery = await harness.storage.history.delivery(*key)
    assert (delivery.state, delivery.reason, delivery.origin) == (end, None, DeliveryOrigin.TEST)
    assert (delivery.attempt, delivery.attempts) == (1, [attempt])
    event = await harness.storage.history.event(harness.environment_id, claimed.event_id)
    assert event.event_type == claimed.event_type


async def test_a_webhook_test_is_never_claimed(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await _begin(harness, webhook)
    assert ids_of(await harness.claim()) == []
    await harness.storage.webhook_tests.finish(_attempt(harness, claimed, succeeded=False))
    await harness.clock.advance(3600)
    assert ids_of(await harness.claim()) == []


async def test_a_webhook_test_under_way_is_no_dead_workers(harness: Harness) -> None:
    await _begin(harness, await harness.webhook())
    await harness.storage.worker_lock.acquire(harness.worker)
    dead = await harness.storage.worker_lock.dead()
    assert set(dead) == set()
    assert (await harness.storage.deliveries.reap(dead, DELAY)).count == 0
    assert set((await harness.storage.backlog.size()).workers) == set()


async def test_a_webhook_test_that_nobody_ended_is_logged_as_interrupted_and_not_repeated(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await _begin(harness, webhook)
    await harness.clock.advance(LEASE.total_seconds() + 1)
    assert (await harness.storage.deliveries.reap([], DELAY)).count == 1
    (attempt,) = await harness.log(webhook)
    assert (attempt.outcome, attempt.next_attempt_at) == (AttemptOutcome.INTERRUPTED, None)
    delivery = await harness.probe(claimed.fence.delivery_id)
    assert (delivery.state, delivery.reason) == (DeliveryState.FAILED, EndReason.INTERRUPTED)
    await harness.clock.advance(3600)
    assert ids_of(await harness.claim()) == []
    assert not await harness.storage.webhook_tests.finish(_attempt(harness, claimed))
    assert list(await harness.log(webhook)) == [attempt]


async def test_a_webhook_that_is_deleted_meanwhile_leaves_the_webhook_test_as_it_is(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await _begin(harness, webhook)
    now = harness.clock.now()
    await harness.storage.webhooks.delete(harness.environment_id, webhook.webhook_id, now)
    assert await harness.storage.webhook_tests.finish(_attempt(harness, claimed))
    assert (await harness.probe(claimed.fence.delivery_id)).state is DeliveryState.SUCCEEDED


async def test_webhook_tests_do_not_make_a_webhook_fail(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await _begin(harness, webhook)
    await harness.storage.webhook_tests.finish(_attempt(harness, claimed, succeeded=False))
    await harness.clock.advance(timedelta(days=6).total_seconds())
    since = harness.clock.now() - timedelta(days=5)
    await harness.finish(await harness.begin(webhook), Failed())
    key = harness.environment_id, webhook.webhook_id
    assert not await harness.storage.webhooks.disable_failing(*key, since, harness.clock.now())


async def test_webhook_tests_do_not_keep_a_webhook_from_failing(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook), Failed())
    await harness.clock.advance(timedelta(days=6).total_seconds())
    since = harness.clock.now() - timedelta(days=5)
    await harness.finish(await harness.begin(webhook), Failed())
    await harness.storage.webhook_tests.finish(_attempt(harness, await _begin(harness, webhook)))
    key = harness.environment_id, webhook.webhook_id
    assert await harness.storage.webhooks.disable_failing(*key, since, harness.clock.now())


async def test_a_request_that_has_begun_a_webhook_test_begins_no_other(harness: Harness) -> None:
    webhook = await harness.webhook()
    since = harness.clock.now() - timedelta(hours=1)
    has_begun = StoredResponse(harness.environment_id, "test", "asked", b"", harness.clock.now())
    answered = evolve(has_begun, response=b"answer")
    claimed = await _begin(harness, webhook, [has_begun])
    found = [await harness.storage.idempotency.find(harness.environment_id, "test", since)]
    with pytest.raises(ResponseAlreadyStored):
        await _begin(harness, webhook, [has_begun])
    assert await harness.storage.webhook_tests.finish(_attempt(harness, claimed), [answered])
    found.append(await harness.storage.idempotency.find(harness.environment_id, "test", since))
    with pytest.raises(ResponseAlreadyStored):
        await _begin(harness, webhook, [has_begun])
    assert found == [has_begun, answered]
    assert len(await harness.log(webhook)) == 1
    deliveries = await harness.storage.history.of_webhook(
        harness.environment_id, webhook.webhook_id, 10
    )
    assert [each.delivery_id for each in deliveries.rows] == [claimed.fence.delivery_id]
