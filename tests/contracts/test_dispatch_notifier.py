"""What the notifier promises: others may hear of it, and it never hurts."""

import asyncio

from notification_core.ports.dispatch_notifier import DispatchNotifier
from tests.contracts.harness import Harness


async def test_who_dispatches_hears_of_others_unless_its_storage_has_no_means_for_it(
    harness: Harness,
) -> None:
    await harness.rival.worker_lock.acquire(harness.other_worker)
    hearing = asyncio.create_task(harness.rival.notifier.wait())
    harness.storage.notifier.wake()
    assert await _hears(hearing) is harness.wakes
    hearing.cancel()
    await harness.storage.notifier.close()  # it may be heard before its sender is done


async def test_nobody_hears_itself(harness: Harness) -> None:
    await harness.storage.worker_lock.acquire(harness.worker)
    hearing = asyncio.create_task(harness.storage.notifier.wait())
    harness.storage.notifier.wake()
    assert await _hears(hearing, seconds=0.1) is False
    hearing.cancel()


async def test_what_was_said_before_one_listened_is_heard_once(harness: Harness) -> None:
    await harness.rival.worker_lock.acquire(harness.other_worker)
    await _wake_and_be_heard(harness)
    again = asyncio.create_task(harness.rival.notifier.wait())
    assert await _hears(again, seconds=0.1) is False
    again.cancel()


async def test_waking_after_the_end_does_nothing(harness: Harness) -> None:
    await harness.storage.notifier.close()
    await harness.storage.notifier.close()


async def _wake_and_be_heard(harness: Harness) -> None:
    hearing = asyncio.create_task(harness.rival.notifier.wait())
    for _ in range(50):
        harness.storage.notifier.wake()
    await _hears(hearing)
    hearing.cancel()
    await _quiet(harness.rival.notifier)


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
