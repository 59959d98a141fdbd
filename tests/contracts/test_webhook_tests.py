"""What storage promises of the requests by which webhooks are tried out."""

from datetime import timedelta

import pytest
from attrs import evolve

from notification_core.errors import AlreadyAnswered
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
from tests.contracts.world import DELAY, LEASE, World, ids_of


async def _begin(world: World, webhook: Webhook, kept: RequestRecords = ()) -> ClaimedDelivery:
    """Begin a trial of a webhook."""
    event = world.event(f"test-{world.ids()}")
    begun = ClaimedDelivery(
        fence=Fence(world.ids(), world.environment_id, 1, TEST_WORKER),
        webhook_id=webhook.webhook_id,
        event_id=event.event.event_id,
        event_type=event.event.type,
        failures=0,
        body=event.body or b"",
    )
    await world.storage.webhook_tests.begin(event, begun, LEASE, kept)
    return begun


def _attempt(world: World, begun: ClaimedDelivery, *, succeeded: bool = True) -> Attempt:
    return world.result(begun, Succeeded() if succeeded else Failed()).attempt


@pytest.mark.parametrize(
    ("succeeded", "end"),
    [(True, DeliveryState.SUCCEEDED), (False, DeliveryState.FAILED)],
    ids=["well", "badly"],
)
async def test_a_trial_is_logged_and_its_delivery_ends_as_it_did(
    world: World, *, succeeded: bool, end: DeliveryState
) -> None:
    webhook = await world.webhook()
    begun = await _begin(world, webhook)
    attempt = _attempt(world, begun, succeeded=succeeded)
    assert await world.storage.webhook_tests.finish(attempt)
    assert list(await world.log(webhook)) == [attempt]
    key = world.environment_id, begun.fence.delivery_id
    delivery = await world.storage.history.delivery(*key)
    assert (delivery.state, delivery.reason, delivery.origin) == (end, None, DeliveryOrigin.TEST)
    assert (delivery.attempt, delivery.attempts) == (1, [attempt])
    event = await world.storage.history.event(world.environment_id, begun.event_id)
    assert event.event_type == begun.event_type


async def test_a_trial_is_never_claimed(world: World) -> None:
    webhook = await world.webhook()
    begun = await _begin(world, webhook)
    assert ids_of(await world.claim()) == []
    await world.storage.webhook_tests.finish(_attempt(world, begun, succeeded=False))
    await world.clock.advance(3600)
    assert ids_of(await world.claim()) == []


async def test_a_trial_under_way_is_no_dead_workers(world: World) -> None:
    await _begin(world, await world.webhook())
    await world.storage.worker_lock.acquire(world.worker)
    dead = await world.storage.worker_lock.dead()
    assert set(dead) == set()
    assert await world.storage.deliveries.reap(dead, DELAY) == 0
    assert set((await world.storage.backlog.size()).workers) == set()


async def test_a_trial_that_nobody_ended_is_logged_as_interrupted_and_not_made_again(
    world: World,
) -> None:
    webhook = await world.webhook()
    begun = await _begin(world, webhook)
    await world.clock.advance(LEASE.total_seconds() + 1)
    assert await world.storage.deliveries.reap([], DELAY) == 1
    (attempt,) = await world.log(webhook)
    assert (attempt.outcome, attempt.next_attempt_at) == (AttemptOutcome.INTERRUPTED, None)
    delivery = await world.probe(begun.fence.delivery_id)
    assert (delivery.state, delivery.reason) == (DeliveryState.FAILED, EndReason.INTERRUPTED)
    await world.clock.advance(3600)
    assert ids_of(await world.claim()) == []
    assert not await world.storage.webhook_tests.finish(_attempt(world, begun))
    assert list(await world.log(webhook)) == [attempt]


async def test_a_webhook_that_is_deleted_meanwhile_leaves_the_trial_as_it_is(world: World) -> None:
    webhook = await world.webhook()
    begun = await _begin(world, webhook)
    now = world.clock.now()
    await world.storage.webhooks.delete(world.environment_id, webhook.webhook_id, now)
    assert await world.storage.webhook_tests.finish(_attempt(world, begun))
    assert (await world.probe(begun.fence.delivery_id)).state is DeliveryState.SUCCEEDED


async def test_trials_do_not_make_a_webhook_fail(world: World) -> None:
    webhook = await world.webhook()
    begun = await _begin(world, webhook)
    await world.storage.webhook_tests.finish(_attempt(world, begun, succeeded=False))
    await world.clock.advance(timedelta(days=6).total_seconds())
    since = world.clock.now() - timedelta(days=5)
    await world.finish(await world.begin(webhook), Failed())
    key = world.environment_id, webhook.webhook_id
    assert not await world.storage.webhooks.disable_failing(*key, since, world.clock.now())


async def test_trials_do_not_keep_a_webhook_from_failing(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook), Failed())
    await world.clock.advance(timedelta(days=6).total_seconds())
    since = world.clock.now() - timedelta(days=5)
    await world.finish(await world.begin(webhook), Failed())
    await world.storage.webhook_tests.finish(_attempt(world, await _begin(world, webhook)))
    key = world.environment_id, webhook.webhook_id
    assert await world.storage.webhooks.disable_failing(*key, since, world.clock.now())


async def test_a_request_that_has_begun_a_trial_begins_no_other(world: World) -> None:
    webhook = await world.webhook()
    since = world.clock.now() - timedelta(hours=1)
    has_begun = StoredResponse(world.environment_id, "test", "asked", b"", world.clock.now())
    answered = evolve(has_begun, answer=b"answer")
    begun = await _begin(world, webhook, [has_begun])
    found = [await world.storage.idempotency.find(world.environment_id, "test", since)]
    with pytest.raises(AlreadyAnswered):
        await _begin(world, webhook, [has_begun])
    assert await world.storage.webhook_tests.finish(_attempt(world, begun), [answered])
    found.append(await world.storage.idempotency.find(world.environment_id, "test", since))
    with pytest.raises(AlreadyAnswered):
        await _begin(world, webhook, [has_begun])
    assert found == [has_begun, answered]
    assert len(await world.log(webhook)) == 1
    deliveries = await world.storage.history.of_webhook(
        world.environment_id, webhook.webhook_id, 10
    )
    assert [each.delivery_id for each in deliveries.rows] == [begun.fence.delivery_id]
