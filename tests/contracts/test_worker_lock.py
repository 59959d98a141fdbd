"""What a worker's lock promises."""

from uuid import UUID

import pytest

from notification_core.errors import WorkerLockTaken
from tests.contracts.world import World


async def test_a_workers_lock_is_held_once(world: World) -> None:
    await world.storage.worker_lock.acquire(world.worker)
    with pytest.raises(WorkerLockTaken):
        await world.rival.worker_lock.acquire(world.worker)
    await world.storage.worker_lock.release()
    await world.rival.worker_lock.acquire(world.worker)


async def test_another_worker_dispatches_beside_it_or_is_told_that_it_cannot(world: World) -> None:
    await world.storage.worker_lock.acquire(world.worker)
    if world.one_dispatcher:
        with pytest.raises(WorkerLockTaken):
            await world.rival.worker_lock.acquire(world.other_worker)
        return
    await world.rival.worker_lock.acquire(world.other_worker)
    await world.begin(await world.webhook(), worker=world.other_worker)
    assert await _dead(world) == set()


async def test_the_holder_may_take_it_again_under_a_new_identity(world: World) -> None:
    lock = world.storage.worker_lock
    await lock.acquire(world.worker)
    await world.begin(await world.webhook())
    await lock.acquire(world.other_worker)
    assert await _dead(world) == {world.worker}


async def test_giving_back_what_is_not_held_does_nothing(world: World) -> None:
    await world.storage.worker_lock.acquire(world.worker)
    await world.rival.worker_lock.release()
    with pytest.raises(WorkerLockTaken):
        await world.rival.worker_lock.acquire(world.worker)
    await world.storage.worker_lock.release()
    await world.storage.worker_lock.release()


async def test_all_others_that_own_leases_are_dead(world: World) -> None:
    webhook = await world.webhook()
    await world.begin(webhook, worker=world.other_worker)
    await world.begin(webhook, worker=world.worker)
    assert await _dead(world) == set(), "without the lock nobody knows"
    await world.storage.worker_lock.acquire(world.worker)
    assert await _dead(world) == {world.other_worker}


async def test_whoever_owns_nothing_is_not_worth_telling(world: World) -> None:
    begun = await world.begin(await world.webhook(), worker=world.other_worker)
    await world.finish(begun)
    await world.storage.worker_lock.acquire(world.worker)
    assert await _dead(world) == set()


async def test_a_storage_that_is_there_answers(world: World) -> None:
    await world.storage.ping()


async def _dead(world: World) -> set[UUID]:
    """Look twice, for longer apart than a worker takes to come back after a restart."""
    await world.storage.worker_lock.dead()
    await world.clock.advance(3)
    return set(await world.storage.worker_lock.dead())
