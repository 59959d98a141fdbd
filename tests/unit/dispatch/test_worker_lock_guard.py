"""A dispatcher whose lock is lost: it stops, and goes on with what is certainly its own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from notification_adapters.memory.sender import Hang
from notification_core.errors import WorkerLockLost
from notification_core.model.delivery import AttemptOutcome, DeliveryState
from tests.unit.dispatch.test_dispatcher import POLL, World, a_world

IN_FLIGHT = 64
SOMEBODY = UUID(int=1)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


async def with_some_waiting(world: World) -> str:
    """Have as many requests out as may be, and others waiting for them; return the URL."""
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    await world.publish(100)
    await world.until(lambda: world.sender.in_flight == IN_FLIGHT)
    world.sender.answer(webhook.url, 200)
    return webhook.url


async def test_nothing_is_sent_while_the_lock_is_lost_and_all_of_it_afterwards(
    world: World,
) -> None:
    url = await with_some_waiting(world)
    rival, worker = world.storage.another_worker_lock(), world.dispatcher.worker
    world.storage.worker_lock.lose()
    await rival.acquire(SOMEBODY)
    await world.until(lambda: world.notebook.errors == [("lock", "WorkerLockLost")])
    world.sender.release(url)
    await world.until(lambda: len(world.attempts()) == IN_FLIGHT)
    await world.publish()
    await world.clock.advance(2)
    assert len(world.sender.requests) == IN_FLIGHT
    with pytest.raises(WorkerLockLost, match="nothing is sent"):
        await world.dispatcher.check()
    await rival.release()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=2 * POLL)
    await world.dispatcher.check()
    assert world.dispatcher.worker == worker, "it was away for less than it may be"
    assert len(world.sender.requests) == 101


async def test_what_others_have_freed_meanwhile_is_left_to_them(world: World) -> None:
    url = await with_some_waiting(world)
    rival, worker = world.storage.another_worker_lock(), world.dispatcher.worker
    world.storage.worker_lock.lose()
    await rival.acquire(SOMEBODY)
    await world.until(lambda: world.notebook.errors)
    assert await world.storage.deliveries.reap([worker], timedelta(minutes=2)) == 100
    await rival.release()
    await world.clock.advance(1)
    world.sender.release(url)
    await world.clock.advance(10)
    assert len(world.sender.requests) == IN_FLIGHT, "of the others no attempt is made here now"
    await world.clock.advance(120)
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=POLL)
    assert {one.outcome for one in world.attempts() if one.number == 1} == {
        AttemptOutcome.INTERRUPTED
    }


async def test_who_cannot_have_the_lock_again_in_time_goes_on_as_another(world: World) -> None:
    url = await with_some_waiting(world)
    rival, worker = world.storage.another_worker_lock(), world.dispatcher.worker
    world.storage.worker_lock.lose()
    await rival.acquire(SOMEBODY)
    await world.clock.advance(10)
    assert len(world.sender.requests) == IN_FLIGHT
    await rival.release()
    world.sender.release(url)
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=3 * POLL)
    assert world.dispatcher.worker != worker
    assert len(world.sender.requests) == 100, "what was out was not repeated"
    assert not await world.storage.deliveries.leased(worker)


async def test_what_was_committed_under_the_former_name_is_given_back(world: World) -> None:
    webhook = await world.webhook()
    rival, worker = world.storage.another_worker_lock(), world.dispatcher.worker
    world.trouble.gates["ingesting"] = gate = asyncio.Event()
    publishing = asyncio.create_task(world.publish())
    await world.until(lambda: world.dispatcher.waiting == 1)
    world.storage.worker_lock.lose()
    await rival.acquire(SOMEBODY)
    await world.clock.advance(10)
    await rival.release()
    await world.until(lambda: world.dispatcher.worker != worker, within=POLL)
    gate.set()
    await publishing
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=3 * POLL)
    assert len(world.sent_to(webhook)) == 1
    assert [one.number for one in world.attempts()] == [1]


async def test_what_another_process_stores_is_claimed_as_soon_as_it_says_so(world: World) -> None:
    await world.webhook()
    await world.publish_elsewhere()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED})
