"""What the notifier promises: others may hear of it, and it never hurts."""

import asyncio

from notification_core.ports.dispatch_notifier import DispatchNotifier
from tests.contracts.world import World


async def test_who_dispatches_hears_of_others_unless_its_storage_has_no_means_for_it(
    world: World,
) -> None:
    await world.rival.worker_lock.acquire(world.other_worker)
    hearing = asyncio.create_task(world.rival.notifier.wait())
    world.storage.notifier.wake()
    assert await _hears(hearing) is world.wakes
    hearing.cancel()


async def test_nobody_hears_itself(world: World) -> None:
    await world.storage.worker_lock.acquire(world.worker)
    hearing = asyncio.create_task(world.storage.notifier.wait())
    world.storage.notifier.wake()
    assert await _hears(hearing, seconds=0.1) is False
    hearing.cancel()


async def test_what_was_said_before_one_listened_is_heard_once(world: World) -> None:
    await world.rival.worker_lock.acquire(world.other_worker)
    await _wake_and_be_heard(world)
    again = asyncio.create_task(world.rival.notifier.wait())
    assert await _hears(again, seconds=0.1) is False
    again.cancel()


async def test_waking_after_the_end_does_nothing(world: World) -> None:
    await world.storage.notifier.close()
    await world.storage.notifier.close()


async def _wake_and_be_heard(world: World) -> None:
    hearing = asyncio.create_task(world.rival.notifier.wait())
    for _ in range(50):
        world.storage.notifier.wake()
    await _hears(hearing)
    hearing.cancel()
    await _quiet(world.rival.notifier)


async def _quiet(notifier: DispatchNotifier) -> None:
    """Return once nothing more is heard: what was said in a row may be told twice."""
    while True:
        hearing = asyncio.create_task(notifier.wait())
        if not await _hears(hearing, seconds=0.2):
            hearing.cancel()
            return


async def _hears(hearing: asyncio.Task[None], seconds: float = 1.0) -> bool:
    done, _ = await asyncio.wait([hearing], timeout=seconds)
    return bool(done)
