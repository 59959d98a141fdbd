"""What is prefetched begins before it is sent, and no more begins than may be in flight."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

import pytest

from notification_adapters.memory.sender import Hang
from notification_core.dispatch.capacity import Bounds
from notification_core.errors import StorageUnavailable
from notification_core.model.delivery import AttemptOutcome, ClaimedDelivery, DeliveryState, Fence
from notification_core.ports.deliveries import Claimed
from tests.support.assembly import DISPATCH_RULES, MemoryApp
from tests.support.dispatching import dispatching
from tests.support.samples import CREATED, ENVIRONMENT

BOUNDS: Bounds = DISPATCH_RULES.bounds
POLL = DISPATCH_RULES.poll_interval.total_seconds()
MANY = 3 * BOUNDS.in_flight


def begun(app: MemoryApp) -> Collection[UUID]:
    """Return the deliveries of which a kill would log an interrupted attempt."""
    workers: Mapping[UUID, Collection[UUID]] = {
        worker: stored.begun for worker, stored in app.storage.state.workers.items()
    }
    return {
        row.delivery_id
        for row in app.stored_deliveries()
        if row.worker and (row.claimed_at or row.delivery_id in workers[row.worker])
    }


def sent(app: MemoryApp) -> Collection[UUID]:
    return {UUID(dict(request.headers)["webhook-delivery"]) for request in app.sender.requests}


def claimed(app: MemoryApp) -> int:
    return sum(row.worker is not None for row in app.stored_deliveries())


@pytest.mark.parametrize("webhooks", [1, 3, 40])
async def test_a_kill_interrupts_no_more_than_may_be_in_flight_and_all_that_was_sent(
    app: MemoryApp, webhooks: int
) -> None:
    for _ in range(webhooks):
        await app.add_webhook()
    publishing = asyncio.create_task(app.publish(MANY // webhooks))
    unlogged: Collection[UUID] = {}
    while app.states() != {DeliveryState.SUCCEEDED}:
        await asyncio.sleep(0)
        ended = {one.delivery_id for one in app.stored_attempts()}
        assert len(begun(app)) <= BOUNDS.in_flight
        unlogged = {*sent(app)} - {*begun(app)} - ended
        assert not unlogged, "whatever was sent has begun"
    await publishing
    assert {one.outcome for one in app.stored_attempts()} == {AttemptOutcome.SUCCEEDED}


async def test_a_bulk_is_taken_by_the_process_that_stores_it_without_a_claim(
    app: MemoryApp,
) -> None:
    await app.add_webhook()
    await app.publish()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED})
    claims = app.faults.calls["acquire"]
    await app.publish(1000)
    assert claimed(app) >= 900
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=POLL)
    assert app.faults.calls["acquire"] <= claims + 1
    assert 0 < app.faults.calls["begin"] < 30, "many begin together"


async def test_what_is_killed_is_free_but_for_what_was_begun(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(200)
    await app.until(lambda: app.sender.in_flight == BOUNDS.per_webhook)
    await app.storage.deliveries.reap([app.dispatcher.worker], timedelta(hours=1))
    interrupted = {one.delivery_id for one in app.stored_attempts()}
    assert interrupted == {*sent(app)}
    due = [row for row in app.stored_deliveries() if row.due_at <= app.clock.now()]
    assert {row.attempt for row in due} == {0}
    assert len(due) == 200 - BOUNDS.per_webhook


async def test_a_worker_that_may_begin_no_more_goes_on_as_another_and_repeats_nothing(
    app: MemoryApp,
) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(200)
    await app.until(lambda: app.sender.in_flight == BOUNDS.per_webhook)
    worker = app.dispatcher.worker
    app.storage.state.workers[worker].closed = True
    app.sender.respond(webhook.url, 200)
    app.sender.release(webhook.url)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=3 * POLL)
    assert app.dispatcher.worker != worker
    assert len(app.sender.requests) == 200


@pytest.mark.parametrize("happened", [True, False])
async def test_a_begin_of_unknown_outcome_is_repeated(app: MemoryApp, *, happened: bool) -> None:
    await app.add_webhook()
    app.faults.lost["begin"] = happened
    await app.publish(200)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=3 * POLL)
    assert ("begin", "UnknownCommit") in app.observer.errors
    assert len(app.sender.requests) == 200


async def test_nothing_that_is_prefetched_is_sent_while_storage_is_unreachable(
    app: MemoryApp,
) -> None:
    webhook = await app.add_webhook()
    app.faults.errors["begin"] = StorageUnavailable("The database cannot be reached.")
    await app.publish(200)
    await app.clock.advance(2)
    assert len(app.sent_to(webhook)) == BOUNDS.per_webhook
    app.faults.errors.clear()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=3 * POLL)


async def test_what_storage_refuses_a_result_of_stays_begun(app: MemoryApp) -> None:
    """Else whoever reaps it would take it for what was not sent."""
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(MANY)
    await app.until(lambda: app.sender.in_flight == BOUNDS.per_webhook)
    app.sender.release(webhook.url, 200)
    await app.until(lambda: len(sent(app)) >= 2 * BOUNDS.per_webhook, within=POLL)
    app.faults.errors["finish"] = ValueError("a value that storage refuses")
    app.sender.respond(webhook.url, 200)
    app.sender.release(webhook.url, 200)
    await app.until(lambda: app.observer.errors.count(("record", "ValueError")) > 5, within=10)
    app.faults.errors.clear()
    await app.until(lambda: len(app.stored_attempts()) > MANY - 20, within=10)
    ended = {one.delivery_id for one in app.stored_attempts()}
    assert set(sent(app)) - ended, "some were abandoned"
    assert set(begun(app)) >= set(sent(app)) - ended
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=40)


async def test_what_waits_longer_than_others_would_need_is_given_back_to_them() -> None:
    async with dispatching(MemoryApp()) as app:
        webhook = await app.add_webhook()
        await app.publish()
        await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED})
        pace = app.dispatcher.runner.queue.capacity.pace
        pace.ended += 10_000
        await app.clock.advance(0.25)
        app.sender.respond(webhook.url, Hang.HANG)
        await app.publish(6000)
        await app.until(lambda: claimed(app) == 6000)
        await app.storage.deliveries.enlist(UUID(int=77))
        app.sender.respond(webhook.url, 200)
        await app.until(lambda: claimed(app) <= 2000, within=8)
        app.sender.release(webhook.url)


async def test_what_is_claimed_again_while_it_is_here_is_not_sent_beside_itself(
    app: MemoryApp,
) -> None:
    """Others freed it when this process hung; its release would free the new claim as well."""
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish()
    await app.until(lambda: app.sender.in_flight == 1)
    (row,) = app.stored_deliveries()
    fence = Fence(row.delivery_id, ENVIRONMENT, 2, app.dispatcher.worker)
    again = ClaimedDelivery(fence, webhook.webhook_id, "event", CREATED, 0, b"{}")
    taken = Claimed((again,), {webhook.webhook_id: webhook}, 1_000, None, None)
    app.dispatcher.runner.take(taken, app.clock.monotonic())
    await app.clock.advance(0.5)
    assert app.sender.in_flight == len(app.sender.requests) == 1
    app.sender.release(webhook.url, 200)
    await app.until(lambda: app.dispatcher.runner.idle)
    assert app.states() == {DeliveryState.SUCCEEDED}
