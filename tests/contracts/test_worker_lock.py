"""What a worker's lock promises."""

from uuid import UUID

import pytest

from notification_core.errors import WorkerLockTaken
from tests.contracts.harness import Harness


async def test_a_workers_lock_is_held_once(harness: Harness) -> None:
    await harness.storage.worker_lock.acquire(harness.worker)
    with pytest.raises(WorkerLockTaken):
        await harness.rival.worker_lock.acquire(harness.worker)
    await harness.storage.worker_lock.release()
    await harness.rival.worker_lock.acquire(harness.worker)


async def test_another_worker_dispatches_beside_it_or_is_told_that_it_cannot(
    harness: Harness,
) -> None:
    await harness.storage.worker_lock.acquire(harness.worker)
    if harness.one_dispatcher:
        with pytest.raises(WorkerLockTaken):
            await harness.rival.worker_lock.acquire(harness.other_worker)
        return
    await harness.rival.worker_lock.acquire(harness.other_worker)
    await harness.begin(await harness.webhook(), worker=harness.other_worker)
    assert await _dead(harness) == set()


async def test_the_holder_may_take_it_again_under_a_new_identity(harness: Harness) -> None:
    lock = harness.storage.worker_lock
    await lock.acquire(harness.worker)
    await harness.begin(await harness.webhook())
    await lock.acquire(harness.other_worker)
    assert await _dead(harness) == {harness.worker}


async def test_giving_back_what_is_not_held_does_nothing(harness: Harness) -> None:
    await harness.storage.worker_lock.acquire(harness.worker)
    await harness.rival.worker_lock.release()
    with pytest.raises(WorkerLockTaken):
        await harness.rival.worker_lock.acquire(harness.worker)
    await harness.storage.worker_lock.release()
    await harness.storage.worker_lock.release()


async def test_all_others_that_own_leases_are_dead(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.begin(webhook, worker=harness.other_worker)
    await harness.begin(webhook, worker=harness.worker)
    assert await _dead(harness) == set(), "without the lock nobody knows"
    await harness.storage.worker_lock.acquire(harness.worker)
    assert await _dead(harness) == {harness.other_worker}


async def test_whoever_owns_nothing_is_not_worth_telling(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook(), worker=harness.other_worker)
    await harness.finish(claimed)
    await harness.storage.worker_lock.acquire(harness.worker)
    assert await _dead(harness) == set()


async def test_a_storage_that_is_there_answers(harness: Harness) -> None:
    await harness.storage.ping()


async def _dead(harness: Harness) -> set[UUID]:
    """Look twice, for longer apart than a worker takes to come back after a restart."""
    await harness.storage.worker_lock.dead()
    await harness.clock.advance(3)
    return set(await harness.storage.worker_lock.dead())
