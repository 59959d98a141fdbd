"""Writing what attempts came to, in batches sized by what waits, until storage has taken it."""

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import islice, takewhile
from typing import Protocol
from uuid import UUID

from attrs import evolve, frozen

from notification_core.concurrency.ids import milliseconds_of
from notification_core.errors import StorageUnavailable, UnknownCommit
from notification_core.model.circuit_breaker import BreakerPolicy, CircuitBreaker, HealthState
from notification_core.model.delivery import AttemptResult, Failed, Fence, Succeeded
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import AT_ONCE, DeliveryStore
from notification_core.ports.observer import Observer

_BATCH = 500
_RETRY_SECONDS = 0.5


@frozen
class ResultRules:
    """What an attempt makes of its delivery and its webhook, as far as storage is to be told."""

    interruption_delay: timedelta
    breaker: BreakerPolicy


class ResultListener(Protocol):
    """Hears what happened to results and releases; returns at once and raises nothing."""

    @abstractmethod
    def on_written(self, results: Sequence[AttemptResult]) -> None:
        """Note results that are in storage now."""

    @abstractmethod
    def on_health_changed(self) -> None:
        """Note that a webhook was paused or resumed in storage: read webhooks again."""

    @abstractmethod
    def on_released(self, fences: Sequence[Fence]) -> None:
        """Note that deliveries are free again."""

    @abstractmethod
    def on_abandoned(self, fence: Fence) -> None:
        """Note that storage refuses a result permanently, and leaves it to its lease."""


class ResultWriter:
    """Takes results and unsent deliveries, and writes them; the caller never waits.

    Its listener hears of what is in storage. What it has not written yet stays here while storage
    is unavailable: ``unwritten`` are the results of attempts that have ended. Writing results again
    is harmless, so that a commit of unknown outcome is simply repeated; a release is not (see
    :meth:`_write_unsent`).
    """

    def __init__(
        self,
        *,
        store: DeliveryStore,
        clock: Clock,
        observer: Observer,
        rules: ResultRules,
        listener: ResultListener,
    ) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer
        self._interruption_delay = rules.interruption_delay
        self._listener = listener
        self._waiting: set[UUID] = set()
        self._breaker = CircuitBreaker(rules.breaker, self._on_health_changed, self._waiting.add)
        self.unwritten: deque[AttemptResult] = deque()
        self._unsent: deque[tuple[Fence, timedelta]] = deque()
        self._suspects = 0
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def record(self, result: AttemptResult) -> None:
        """Take the result of an attempt."""
        self.unwritten.append(result)
        self._empty.clear()
        self._work.set()

    def release(self, fences: Iterable[Fence], after: timedelta = AT_ONCE) -> None:
        """Take deliveries that were claimed and not sent: they are due again ``after`` this."""
        self._unsent.extend((fence, after) for fence in fences)
        self._empty.clear()
        self._work.set()

    async def drain(self) -> None:
        """Return once everything is written."""
        await self._empty.wait()

    async def run(self) -> None:
        """Write for ever; ends by being cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self.unwritten or self._unsent:
                for queue, write in (
                    (self.unwritten, self._write_results),
                    (self._unsent, self._write_unsent),
                ):
                    try:
                        if queue:
                            await write()
                    except Exception as error:  # noqa: BLE001 - what is not written is kept, whatever failed
                        self._observer.background_task_failed("record", error)
                        await self._clock.sleep(_RETRY_SECONDS)
            self._empty.set()

    async def _write_results(self) -> None:
        batch = [*islice(self.unwritten, 1 if self._suspects else _BATCH)]
        try:
            refused = await self._store.finish(batch, self._interruption_delay, self._breaker)
        except StorageUnavailable:
            raise
        except Exception:
            self._suspect(batch)
            raise
        for _ in batch:
            self.unwritten.popleft()
        self._suspects = max(0, self._suspects - len(batch))
        self._observer.results_written(len(batch))
        if follower := self._observer.follower:
            for result in batch:
                follower.result_written(result)
        now = self._clock.now().timestamp()
        for result in batch:
            self._report(result, now)
        self._waiting.clear()
        if refused:
            self._observer.results_fenced(len(refused))
        self._listener.on_written(batch)

    def _report(self, result: AttemptResult, now: float) -> None:
        attempt = result.attempt
        error = attempt.error.code if attempt.error else None
        self._observer.attempt_ended(attempt.outcome, error, attempt.duration)
        if isinstance(result.next_step, Succeeded):
            stored = milliseconds_of(attempt.delivery_id) / 1000
            self._observer.delivery_succeeded(max(0.0, now - stored))
        # One that waits for its paused webhook has not failed.
        elif isinstance(result.next_step, Failed) and attempt.delivery_id not in self._waiting:
            self._observer.delivery_failed(attempt.webhook_id, attempt.delivery_id)
            if result.next_step.disables:
                self._observer.webhook_disabled(attempt.webhook_id, result.next_step.disables)

    def _on_health_changed(self, webhook_id: UUID, state: HealthState) -> None:
        self._observer.webhook_health_changed(webhook_id, state)
        self._listener.on_health_changed()

    def _suspect(self, batch: Sequence[AttemptResult]) -> None:
        """Keep one result that storage refuses permanently from holding up all the others.

        They are written one by one then. The culprit is written without what its receiver sent. If
        that is refused too, it stays held and is left to its lease, whose end logs it as
        interrupted: nobody may take it for an attempt that was not made.
        """
        if len(batch) > 1:
            self._suspects = len(batch)
        elif (reduced := _without_received_text(batch[0])) != batch[0]:
            self.unwritten[0] = reduced
        else:
            self._listener.on_abandoned(self.unwritten.popleft().fence)
            self._suspects = max(0, self._suspects - 1)

    async def _write_unsent(self) -> None:
        _, after = self._unsent[0]
        alike = takewhile(lambda unsent: unsent[1] == after, self._unsent)
        batch = [fence for fence, _ in islice(alike, _BATCH)]
        try:
            await self._store.release(batch, after)
        except UnknownCommit:
            # If it happened, the same attempt may be claimed again by now, and releasing that
            # would send it twice. If it did not, the next poll finds that nobody holds these.
            self._remove_unsent(batch)
            raise
        self._remove_unsent(batch)
        self._observer.leases_released(len(batch))

    def _remove_unsent(self, batch: Sequence[Fence]) -> None:
        for _ in batch:
            self._unsent.popleft()
        self._listener.on_released(batch)


def _without_received_text(result: AttemptResult) -> AttemptResult:
    """Return a result whose response has its status alone, as after a cut body."""
    response = result.attempt.response
    if response is None:
        return result
    bare = evolve(response, headers=(), body=b"", truncated=True)
    return evolve(result, attempt=evolve(result.attempt, response=bare))
