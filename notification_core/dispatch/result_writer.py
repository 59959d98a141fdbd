"""Writing what attempts came to, in batches sized by what waits, until storage has taken it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import islice, takewhile
from typing import Any, TypeVar

from attrs import evolve

from notification_core.errors import StorageUnavailable, UnknownCommit
from notification_core.model.delivery import AttemptResult, Failed, Fence
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import AT_ONCE, DeliveryStore
from notification_core.ports.observer import Observer

_BATCH = 500
_RETRY_SECONDS = 0.5

T = TypeVar("T")


class ResultWriter:
    """Takes results and unsent deliveries, and writes them; the one who calls never waits.

    It calls ``recorded`` and ``returned`` with what is in storage. What it has not written yet
    stays here while storage is away. Writing results again is harmless, so that a commit of
    unknown outcome is simply repeated; a give-back is not (see :meth:`_write_unsent`).
    """

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        store: DeliveryStore,
        clock: Clock,
        observer: Observer,
        interruption_delay: timedelta,
        recorded: Callable[[Sequence[AttemptResult]], None],
        returned: Callable[[Sequence[Fence]], None],
        left: Callable[[Fence], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer
        self._interruption_delay = interruption_delay
        self._recorded = recorded
        self._returned = returned
        self._left = left
        self._results: deque[AttemptResult] = deque()
        self._unsent: deque[tuple[Fence, timedelta]] = deque()
        self._suspects = 0
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def unwritten(self) -> int:
        """How many attempts have ended without their result being in storage."""
        return len(self._results)

    def record(self, result: AttemptResult) -> None:
        """Take the result of an attempt."""
        self._results.append(result)
        self._wake()

    def release(self, fences: Iterable[Fence], after: timedelta = AT_ONCE) -> None:
        """Take deliveries that were begun and not sent: they are due again ``after`` this."""
        self._unsent.extend((fence, after) for fence in fences)
        self._wake()

    def _wake(self) -> None:
        self._empty.clear()
        self._work.set()

    async def drained(self) -> None:
        """Return once everything is written."""
        await self._empty.wait()

    async def run(self) -> None:
        """Write for ever; ends by being cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._results or self._unsent:
                await self._write()
            self._empty.set()

    async def _write(self) -> None:
        for write in (self._write_results, self._write_unsent):
            try:
                await write()
            except Exception as error:  # noqa: BLE001 - what is not written is kept, whatever failed
                self._observer.background_task_failed("record", error)
                await self._clock.sleep(_RETRY_SECONDS)

    async def _write_results(self) -> None:
        batch = _first(self._results, 1 if self._suspects else _BATCH)
        if not batch:
            return
        try:
            refused = await self._store.finish(batch, self._interruption_delay)
        except StorageUnavailable:
            raise
        except Exception:
            self._suspect(batch)
            raise
        _drop(self._results, batch)
        self._suspects = max(0, self._suspects - len(batch))
        self._tell(batch, len(refused))
        self._recorded(batch)

    def _suspect(self, batch: Sequence[AttemptResult]) -> None:
        """Keep one result that storage refuses for good from holding up all the others.

        They are written one by one then. The culprit is written without what its receiver sent. If
        that is refused too, it stays held and is left to its lease, whose end logs it as
        interrupted: nobody may take it for an attempt that was not made.
        """
        if len(batch) > 1:
            self._suspects = len(batch)
        elif (reduced := _without_received_text(batch[0])) != batch[0]:
            self._results[0] = reduced
        else:
            self._left(self._results.popleft().fence)
            self._suspects = max(0, self._suspects - 1)

    async def _write_unsent(self) -> None:
        if not self._unsent:
            return
        _, after = self._unsent[0]
        alike = takewhile(lambda unsent: unsent[1] == after, self._unsent)
        batch = [fence for fence, _ in islice(alike, _BATCH)]
        try:
            await self._store.release(batch, after)
        except UnknownCommit:
            # If it happened, the same attempt may be begun again by now, and giving that back
            # would send it twice. If it did not, the next poll finds that nobody holds these.
            _drop(self._unsent, batch)
            self._returned(batch)
            raise
        _drop(self._unsent, batch)
        self._observer.leases_released(len(batch))
        self._returned(batch)

    def _tell(self, batch: Sequence[AttemptResult], refused: int) -> None:
        for result in batch:
            attempt = result.attempt
            error = attempt.error.code if attempt.error else None
            self._observer.attempt_ended(attempt.outcome, error, attempt.duration)
            if isinstance(result.verdict, Failed):
                self._observer.delivery_failed(attempt.webhook_id, attempt.delivery_id)
                if result.verdict.disables:
                    self._observer.webhook_disabled(attempt.webhook_id, result.verdict.disables)
        self._observer.results_written(len(batch))
        if refused:
            self._observer.results_fenced(refused)


def _first(queue: deque[T], most: int) -> list[T]:
    return list(islice(queue, most))


def _drop(queue: deque[Any], batch: Sequence[object]) -> None:
    for _ in batch:
        queue.popleft()


def _without_received_text(result: AttemptResult) -> AttemptResult:
    """Return a result whose response has its status alone, as after a cut body."""
    response = result.attempt.response
    if response is None:
        return result
    bare = evolve(response, headers=(), body=b"", truncated=True)
    return evolve(result, attempt=evolve(result.attempt, response=bare))
