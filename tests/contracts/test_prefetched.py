"""What is prefetched: whoever reaps it finds out which of it may have been sent."""

import asyncio
from datetime import timedelta

import pytest
from attrs import evolve

from notification_core.model.delivery import (
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryState,
    Fence,
)
from notification_core.model.webhook import Webhook
from tests.contracts.harness import DELAY, LEASE, Harness

STORED = ("in steps", "as a plan", "by a claim")


async def prefetch(harness: Harness, webhook: Webhook, how: str = STORED[0]) -> ClaimedDelivery:
    """Store a delivery that the harness's worker has prefetched."""
    if how == "by a claim":
        await harness.publish(webhook)
        (claimed,) = (await harness.claim(begin_limit=0)).deliveries
        return claimed
    event = harness.event(environment_id=webhook.environment_id)
    new = harness.to(webhook, event, claimed=True, prefetched=True)
    await (harness.ingest if how == "in steps" else harness.store)([event], [new], harness.worker)
    fence = Fence(new.delivery_id, webhook.environment_id, 1, harness.worker)
    of_event = new.event_id, event.event.type
    return ClaimedDelivery(fence, webhook.webhook_id, *of_event, 0, event.body or b"", True)  # noqa: FBT003 - as claimed


@pytest.mark.parametrize("how", STORED)
async def test_what_has_not_begun_is_free_at_once_and_leaves_no_attempt(
    harness: Harness, how: str
) -> None:
    webhook = await harness.webhook()
    claimed = await prefetch(harness, webhook, how)
    assert claimed.prefetched
    await harness.storage.deliveries.enlist(harness.worker)
    assert list(await harness.storage.deliveries.leased(harness.worker)) == [claimed.fence]
    await harness.clock.advance(5)
    assert (await harness.storage.deliveries.reap([harness.worker], DELAY)).count == 1
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.worker) == (DeliveryState.PENDING, None)
    assert (stored.attempt, stored.interruptions) == (0, 0)
    assert stored.due_at == harness.clock.now()
    assert not await harness.log(webhook)
    (again,) = (await harness.claim(worker=harness.other_worker)).deliveries
    assert again == evolve(
        claimed, fence=evolve(claimed.fence, worker=harness.other_worker), prefetched=False
    )


@pytest.mark.parametrize("how", STORED)
async def test_what_has_begun_is_logged_as_interrupted(harness: Harness, how: str) -> None:
    webhook = await harness.webhook()
    claimed = await prefetch(harness, webhook, how)
    await harness.storage.deliveries.enlist(harness.worker)
    assert await harness.storage.deliveries.begin(harness.worker, {claimed.fence.delivery_id})
    assert (await harness.storage.deliveries.reap([harness.worker], DELAY)).count == 1
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.worker, stored.attempt, stored.interruptions) == (None, 1, 1)
    (logged,) = await harness.log(webhook)
    assert (logged.outcome, logged.number) == (AttemptOutcome.INTERRUPTED, 1)
    assert abs(logged.started_at - harness.clock.now()) < timedelta(seconds=1)


async def test_a_claim_begins_the_first_of_those_that_it_takes(harness: Harness) -> None:
    webhook = await harness.webhook()
    ids = await harness.publish(webhook, 3)
    claimed = (await harness.claim(begin_limit=2)).deliveries
    assert [one.prefetched for one in claimed] == [False, False, True]
    assert (await harness.storage.deliveries.reap([harness.worker], DELAY)).count == 3
    stored = [await harness.probe(delivery_id) for delivery_id in ids]
    assert [one.interruptions for one in stored] == [1, 1, 0]


async def test_what_begins_takes_the_place_of_what_has_begun_before(harness: Harness) -> None:
    webhook = await harness.webhook()
    first, second = [await prefetch(harness, webhook) for _ in range(2)]
    await harness.storage.deliveries.enlist(harness.worker)
    for one in (first, second):
        assert await harness.storage.deliveries.begin(harness.worker, {one.fence.delivery_id})
    await harness.storage.deliveries.reap([harness.worker], DELAY)
    assert [one.delivery_id for one in await harness.log(webhook)] == [second.fence.delivery_id]


async def test_the_result_of_what_was_prefetched_is_written_like_any(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await prefetch(harness, webhook)
    await harness.storage.deliveries.enlist(harness.worker)
    await harness.storage.deliveries.begin(harness.worker, {claimed.fence.delivery_id})
    await harness.finish(claimed)
    assert (await harness.storage.deliveries.reap([harness.worker], DELAY)).count == 0
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.attempt) == (DeliveryState.SUCCEEDED, 1)


async def test_a_worker_that_is_not_enlisted_begins_nothing(harness: Harness) -> None:
    await harness.storage.deliveries.enlist(harness.other_worker)
    assert not await harness.storage.deliveries.begin(harness.worker, ())


@pytest.mark.parametrize("is_dead", [True, False])
async def test_a_worker_whose_prefetched_deliveries_were_freed_begins_nothing_more(
    harness: Harness,
    is_dead: bool,  # noqa: FBT001 - a parameter
) -> None:
    webhook = await harness.webhook()
    await prefetch(harness, webhook)
    await harness.storage.deliveries.enlist(harness.worker)
    await harness.clock.advance(0 if is_dead else LEASE.total_seconds() + 1)
    dead = [harness.worker] if is_dead else []
    assert (await harness.rival.deliveries.reap(dead, DELAY)).count == 1
    later = await prefetch(harness, webhook)
    assert not await harness.storage.deliveries.begin(harness.worker, {later.fence.delivery_id})
    await harness.storage.deliveries.reap([harness.worker], DELAY)
    assert not await harness.log(webhook)


async def test_a_worker_begins_and_is_reaped_at_once_and_one_of_them_is_first(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await prefetch(harness, webhook)
    await harness.storage.deliveries.enlist(harness.worker)
    begun, _ = await asyncio.gather(
        harness.storage.deliveries.begin(harness.worker, {claimed.fence.delivery_id}),
        harness.rival.deliveries.reap([harness.worker], DELAY),
    )
    assert [one.delivery_id for one in await harness.log(webhook)] == (
        [claimed.fence.delivery_id] if begun else []
    )


async def test_dead_workers_are_forgotten_once_they_own_nothing(harness: Harness) -> None:
    await harness.storage.worker_lock.acquire(harness.worker)
    for worker in (harness.worker, harness.other_worker):
        await harness.storage.deliveries.enlist(worker)
    await harness.storage.deliveries.enlist(harness.worker)
    assert await harness.storage.deliveries.enlisted() == 2
    await harness.storage.worker_lock.dead()
    await harness.clock.advance(3)
    dead = await harness.storage.worker_lock.dead()
    assert dead == {harness.other_worker}
    assert (await harness.storage.deliveries.reap(dead, DELAY)).count == 0
    assert await harness.storage.deliveries.enlisted() == 1
    assert not await harness.storage.worker_lock.dead()
