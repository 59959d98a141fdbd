"""The driver's clients: started with a clear error, and stopped within a bounded time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from notification_adapters.kafka.config import REQUEST_TIMEOUT
from notification_core.errors import BrokersUnavailable

_STOP_SECONDS = 2.0
_CLOSE_SECONDS = 0.5

Step = Callable[[], Awaitable[object]]


@asynccontextmanager
async def started(
    start: Step, stop: Step, leftovers: Callable[[], Sequence[Step]] = list
) -> AsyncIterator[None]:
    """Have a client of the driver started for the length of the block.

    Raises :class:`BrokersUnavailable` where it cannot be started. The driver's own stop waits
    for brokers that are unavailable, and for the other members of a group that is just forming:
    after some time it is given up, and what it has not come to is closed by the ``leftovers``.
    """
    try:
        await _connect(start)
        yield
    finally:
        if not await _within(stop, _STOP_SECONDS):
            for close in leftovers():
                await _within(close, _CLOSE_SECONDS)


def leftovers_of(consumer: AIOKafkaConsumer) -> Sequence[Step]:
    """Return how to close what a consumer's stop closes after it has left its group."""
    # All of it is private: the driver has no other way to give up a consumer that hangs.
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001 - see above
    return [
        *([coordinator._stop_heartbeat_task] if coordinator else []),  # noqa: SLF001 - see above
        *([coordinator._stop_commit_offsets_refresh_task] if coordinator else []),  # noqa: SLF001 - see above
        *([fetcher.close] if fetcher else []),
        consumer._client.close,  # noqa: SLF001 - see above
    ]


async def _connect(start: Step) -> None:
    starting = asyncio.ensure_future(start())
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT.total_seconds()):
            # Cancelled at once, the driver would forget a connection that it has just opened.
            await asyncio.shield(starting)
    except (KafkaError, OSError) as error:  # a time-out is an OSError too
        raise BrokersUnavailable(
            f"No broker can be reached, and the log says why: {error}"
        ) from error
    finally:
        await _ends(starting, _STOP_SECONDS)


async def _within(step: Step, seconds: float) -> bool:
    return await _ends(asyncio.ensure_future(step()), seconds)


async def _ends(task: asyncio.Future[object], seconds: float) -> bool:
    """Tell whether a task has ended in time; it may also fail, or say that it was cancelled."""
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        task.cancel()
        await asyncio.wait([task], timeout=seconds)
    if task.done() and not task.cancelled():
        task.exception()  # looked at, or asyncio complains of it
    return bool(done)
