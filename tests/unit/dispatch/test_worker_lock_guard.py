"""A dispatcher whose lock is lost: it stops, and goes on with what is certainly its own."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from notification_adapters.memory.sender import Hang
from notification_core.errors import WorkerLockLost
from notification_core.model.delivery import TEST_WORKER, AttemptOutcome, DeliveryState
from notification_core.ports.deliveries import Claim
from tests.support.assembly import DISPATCH_RULES, MemoryApp

POLL = DISPATCH_RULES.poll_interval.total_seconds()
IN_FLIGHT = 64
SOMEBODY = UUID(int=1)


async def with_some_waiting(app: MemoryApp) -> str:
    """Have as many requests out as may be, and others waiting for them; return the URL."""
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(100)
    await app.until(lambda: app.sender.in_flight == IN_FLIGHT)
    app.sender.respond(webhook.url, 200)
    return webhook.url


async def test_nothing_is_sent_while_the_lock_is_lost_and_all_of_it_afterwards(
    app: MemoryApp,
) -> None:
    url = await with_some_waiting(app)
    rival, worker = app.storage.another_worker_lock(), app.dispatcher.worker
    app.storage.worker_lock.lose()
    await rival.acquire(SOMEBODY)
    await app.until(lambda: app.observer.errors == [("lock", "WorkerLockLost")])
    app.sender.release(url)
    await app.until(lambda: len(app.stored_attempts()) == IN_FLIGHT)
    await app.publish()
    await app.clock.advance(2)
    assert len(app.sender.requests) == IN_FLIGHT
    with pytest.raises(WorkerLockLost, match="nothing is sent"):
        await app.dispatcher.check()
    await rival.release()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=2 * POLL)
    await app.dispatcher.check()
    assert app.dispatcher.worker == worker, "it was unavailable for less than it may be"
    assert len(app.sender.requests) == 101


async def test_what_others_have_freed_meanwhile_is_left_to_them(app: MemoryApp) -> None:
    url = await with_some_waiting(app)
    rival, worker = app.storage.another_worker_lock(), app.dispatcher.worker
    app.storage.worker_lock.lose()
    await rival.acquire(SOMEBODY)
    await app.until(lambda: app.observer.errors)
    assert (await app.storage.deliveries.reap([worker], timedelta(minutes=2))).count == 100
    claim = Claim(TEST_WORKER, timedelta(seconds=60), 1000, 1 << 30, 1000)
    others = (await app.storage.deliveries.acquire(claim)).deliveries
    assert len(others) == 100 - IN_FLIGHT, "what had not begun is free at once"
    await rival.release()
    await app.clock.advance(1)
    app.sender.release(url)
    await app.clock.advance(10)
    assert len(app.sender.requests) == IN_FLIGHT, "of the others no attempt is made here now"
    await app.clock.advance(120)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=POLL)
    assert {one.outcome for one in app.stored_attempts() if one.number == 1} == {
        AttemptOutcome.INTERRUPTED
    }


async def test_who_cannot_have_the_lock_again_in_time_goes_on_as_another(app: MemoryApp) -> None:
    url = await with_some_waiting(app)
    rival, worker = app.storage.another_worker_lock(), app.dispatcher.worker
    app.storage.worker_lock.lose()
    await rival.acquire(SOMEBODY)
    await app.clock.advance(10)
    assert len(app.sender.requests) == IN_FLIGHT
    await rival.release()
    app.sender.release(url)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=3 * POLL)
    assert app.dispatcher.worker != worker
    assert len(app.sender.requests) == 100, "what was out was not repeated"
    assert not await app.storage.deliveries.leased(worker)


async def test_what_was_committed_under_the_former_name_is_given_back(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    rival, worker = app.storage.another_worker_lock(), app.dispatcher.worker
    app.faults.gates["ingesting"] = gate = asyncio.Event()
    publishing = asyncio.create_task(app.publish())
    await app.until(lambda: app.dispatcher.waiting == 1)
    app.storage.worker_lock.lose()
    await rival.acquire(SOMEBODY)
    await app.clock.advance(10)
    await rival.release()
    await app.until(lambda: app.dispatcher.worker != worker, within=POLL)
    gate.set()
    await publishing
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=3 * POLL)
    assert len(app.sent_to(webhook)) == 1
    assert [one.number for one in app.stored_attempts()] == [1]


async def test_what_another_process_stores_is_claimed_as_soon_as_it_says_so(app: MemoryApp) -> None:
    await app.add_webhook()
    await app.elsewhere.publish()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED})
