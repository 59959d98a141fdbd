"""Dispatching: claim what is due, send it in turn, record what it came to.

A delivery passes through here as: claimed or handed over → waiting in its webhook's queue →
sent (one attempt) → result writer → storage. All state in memory is expendable: what a killed
process held is freed by its lease, and repeated.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from attrs import frozen

from notification_core.concurrency.wakeup import Wakeup
from notification_core.dispatch.attempt import AttemptMaker
from notification_core.dispatch.capacity import Bounds
from notification_core.dispatch.delivery_runner import DeliveryRunner, RunnerListener
from notification_core.dispatch.fair_queue import FairQueue
from notification_core.dispatch.result_writer import ResultListener, ResultRules, ResultWriter
from notification_core.dispatch.worker_lock_guard import WorkerLockGuard
from notification_core.environments.erasures import ErasureRunner
from notification_core.errors import WorkerLockLost
from notification_core.maintenance.lease_reaper import LeaseReaper
from notification_core.maintenance.retention_sweeper import RetentionSweeper
from notification_core.model.circuit_breaker import BreakerPolicy
from notification_core.model.delivery import AttemptResult, Failed, Fence, Retry
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import Claim
from notification_core.ports.observer import Observer
from notification_core.ports.storage import Storage
from notification_core.replays.replay_runner import ReplayRunner
from notification_core.signing.key_cache import SigningKeyCache

_CLAIM_LIMIT, _TICK_SECONDS = 500, 0.25
_MAINTENANCE_SECONDS, _IDLE_QUEUE_SECONDS = 60.0, 600.0
_REPLAY_PAUSE, _SWEEP_PAUSE, _PAUSE_AFTER_ERROR = 0.1, 0.05, 0.5


@frozen
class DispatchRules:
    """The bounds and times of a dispatching process."""

    bounds: Bounds
    lease: timedelta
    poll_interval: timedelta
    breaker: BreakerPolicy


@frozen
class Maintenance:
    """What a dispatching process does beside sending."""

    reaper: LeaseReaper
    replays: ReplayRunner
    retention: RetentionSweeper
    erasures: ErasureRunner


class Dispatcher(RunnerListener, ResultListener):
    """One dispatching process: its loops, from the first claim to the last result written.

    It works for ``worker``, whose lock must be held; ``new_worker`` makes the id of another one for
    when the lock was lost for too long.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        storage: Storage,
        attempts: AttemptMaker,
        key_cache: SigningKeyCache,
        maintenance: Maintenance,
        clock: Clock,
        observer: Observer,
        rules: DispatchRules,
        worker: UUID,
        new_worker: Callable[[], UUID],
    ) -> None:
        self._deliveries, self._webhooks = storage.deliveries, storage.webhooks
        self._notifier, self._maintenance = storage.notifier, maintenance
        self._clock, self._observer, self._rules = clock, observer, rules
        self._claims, self._claim_at, self._settled_commits = True, 0.0, 0
        self._after: UUID | None = None
        self._claiming, self._queue = asyncio.Lock(), FairQueue(rules.bounds)
        self._results = ResultWriter(
            store=storage.deliveries,
            clock=clock,
            observer=observer,
            rules=ResultRules(attempts.rules.retries.interval, rules.breaker),
            listener=self,
        )
        self.runner = DeliveryRunner(
            worker=worker,
            lease=rules.lease,
            queue=self._queue,
            attempts=attempts,
            key_cache=key_cache,
            results=self._results,
            clock=clock,
            observer=observer,
            listener=self,
        )
        self._lock_guard = WorkerLockGuard(
            lock=storage.worker_lock,
            runner=self.runner,
            deliveries=storage.deliveries,
            clock=clock,
            observer=observer,
            new_worker=new_worker,
        )
        self._wakeups = {name: Wakeup(clock) for name in self._steps()}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def worker(self) -> UUID:
        """Return who owns what this process takes now."""
        return self.runner.worker

    @property
    def in_flight(self) -> int:
        """Return how many requests are in flight."""
        return self._queue.capacity.in_flight

    @property
    def waiting(self) -> int:
        """Return how many claimed deliveries wait to be sent."""
        return self._queue.capacity.waiting

    def holds_back(self, webhook_id: UUID, age: timedelta) -> bool:
        """Tell whether a webhook has been at its own limit within this time."""
        return self._queue.holds_back(webhook_id, self._clock.monotonic() - age.total_seconds())

    @property
    def oldest_waiting(self) -> timedelta:
        """How late what waits here is, of webhooks that do not hold it back."""
        now, at = self._clock.monotonic(), self._clock.now()
        return self._queue.oldest_waiting(now, at, self._rules.lease)

    def environments(self) -> Mapping[bool, int]:
        """Count the environments that were sent to lately: reached (True), and not."""
        return self._queue.environments()

    async def check(self) -> None:
        """Raise :class:`WorkerLockLost` or :class:`ResourceShort` while nothing is sent for it."""
        if self.runner.shortage:
            raise self.runner.shortage
        if self.runner.suspended:
            raise WorkerLockLost(
                "The worker's lock is lost: nothing is sent until it is held again."
            )

    async def start(self) -> None:
        """Free what a dead process left behind, and begin to dispatch.

        The worker's lock must be held. Raises :class:`StorageUnavailable`.
        """
        await self._deliveries.enlist(self.worker)
        await self._maintenance.reaper.reap()
        self._queue.on_webhooks_changed(await self._webhooks.webhooks_revision())
        self._tasks = [asyncio.create_task(self._results.run(), name="dispatch-record")]
        for name, step in self._steps().items():
            loop = asyncio.create_task(self._repeat(name, step), name=f"dispatch-{name}")
            self._tasks.append(loop)

    def wind_down(self) -> None:
        """Begin nothing more, and release what waits, at once; :meth:`stop` is to follow."""
        self._claims = False
        self.runner.halt()

    async def stop(self) -> None:
        """Claim no more, release what waits, let requests end, and write all results.

        Takes as long as the slowest request; while storage is unavailable it does not return.
        Cancelled meanwhile, it leaves nothing running: the leases tell of what was torn off.
        """
        _, _, *others = self._tasks  # all but the result writer and the tick
        try:
            async with self._claiming:  # a claim torn in the middle would leave leases behind
                await _cancel(others)
            await self.runner.stop()
            await self._results.drain()
        finally:
            self.runner.tear_off()
            await _cancel(self._tasks)

    def on_webhooks_changed(self, revision: int) -> None:
        """Note that webhooks have changed: nothing more is sent before they are read again."""
        if self._queue.on_webhooks_changed(revision):
            for name in ("refresh", "maintenance", "erase"):
                self._wakeups[name].set()
            self.on_capacity()

    def replay(self) -> None:
        """Carry on a replay."""
        self._wakeups["replay"].set()

    # What the runner and the result writer tell.

    def on_capacity(self) -> None:
        """Claim now."""
        self._claim_by(self._clock.monotonic())

    def on_prefetched(self) -> None:
        """Begin what is prefetched, if there is room."""
        self._wakeups["begin"].set()

    def on_turn(self) -> None:
        """Send what waits for its turn, in time."""
        self._wakeups["turn"].set()

    def on_stale_webhooks(self) -> None:
        """Read webhooks again."""
        self._wakeups["refresh"].set()

    def on_written(self, results: Sequence[AttemptResult]) -> None:
        """Note results that are in storage now."""
        for result in results:
            if result.ordering_key is not None:
                self.on_capacity()  # the next of its group may have been released
            match result.next_step:
                case Retry(after=after):
                    self._claim_by(self._clock.monotonic() + after.total_seconds())
                case Failed(disables=None):
                    key = result.fence.environment_id, result.attempt.webhook_id
                    self._maintenance.reaper.delivery_failed(*key)
                case Failed():
                    self._wakeups["poll"].set()
        self.runner.written(result.fence for result in results)

    def on_health_changed(self) -> None:
        """Read webhooks again before more is sent to them."""
        self._wakeups["poll"].set()

    def on_released(self, fences: Sequence[Fence]) -> None:
        """Note that deliveries are free again.

        The next poll claims them: what could not be sent just now is not worth a claim of its own.
        """
        self.runner.unknown_commits += 1
        self.runner.written(fences)

    def on_abandoned(self, fence: Fence) -> None:
        """Note that storage refuses a result permanently."""
        self.runner.abandon(fence)

    # Claiming.

    def _claim_by(self, at: float) -> None:
        """Have the next claim made no later than at this time."""
        if at < self._claim_at:
            self._claim_at = at
            self._wakeups["claim"].set()

    async def _claim_when_due(self) -> float:
        poll_interval = self._rules.poll_interval.total_seconds()
        if not self._claims or self.runner.shortage:
            return poll_interval
        now = self._clock.monotonic()
        if now >= self._claim_at:
            self._claim_at = now + poll_interval
            await self._claim(now)
        return max(0.0, self._claim_at - self._clock.monotonic())

    async def _claim(self, now: float) -> None:
        """Claim what there is room for, and again at once if there may be more, else when due."""
        queue, capacity = self._queue, self._queue.capacity
        limit = min(_CLAIM_LIMIT, capacity.pace.most_waiting - capacity.waiting)
        limit_bytes = capacity.bounds.waiting_bytes - capacity.waiting_bytes
        if limit <= 0 or limit_bytes <= 0:
            queue.note_full()
            return
        claim = Claim(
            worker=self.runner.worker,
            lease=self._rules.lease,
            limit=limit,
            limit_bytes=limit_bytes,
            new_webhook_limit=queue.new_webhook_limit(),
            webhook_limits=queue.claim_limits(),
            after=self._after,
            begin_limit=capacity.free_attempts(capacity.unresponsive),
            traced=self.runner.traced,
        )
        async with self._claiming:
            capacity.claiming = claim.begin_limit
            try:
                claimed = await self._deliveries.acquire(claim)
            except BaseException:
                self.runner.unknown_commits += 1
                raise
            finally:
                capacity.claiming = 0
            self.runner.take(claimed, now)
        self._after = claimed.after
        taken = Counter(delivery.webhook_id for delivery in claimed.deliveries)
        limits = {**dict.fromkeys(taken, claim.new_webhook_limit), **claim.webhook_limits}
        for webhook_id, webhook_limit in limits.items():
            if taken[webhook_id] >= webhook_limit:
                queue.note_more(webhook_id)
        if claimed.after is not None or len(claimed.deliveries) >= limit:
            self.on_capacity()
        elif claimed.next_due is not None:
            self._claim_by(self._clock.monotonic() + claimed.next_due.total_seconds())

    async def _begin(self) -> float:
        worker = self.worker
        if not await self.runner.begin_prefetched(self._deliveries):
            await self._lock_guard.replace(worker)
        return self._rules.poll_interval.total_seconds()

    # The loops, each of a step that returns after how many seconds it is to be done again.

    def _steps(self) -> Mapping[str, Callable[[], Awaitable[float]]]:
        """Return the steps by their loops' names; the one that outlives a stop is the first."""
        return {
            "tick": self._tick,
            "claim": self._claim_when_due,
            "begin": self._begin,
            "turn": self.runner.take_turns,
            "poll": self._poll,
            "refresh": self._refresh,
            "maintenance": self._maintain,
            "replay": self._replay,
            "sweep": self._sweep,
            "erase": self._maintenance.erasures.advance_all,
            "lock": self._keep_lock,
            "notify": self._await_notification,
        }

    async def _repeat(self, name: str, step: Callable[[], Awaitable[float]]) -> None:
        """Do a step whenever its signal is set, and after as many seconds as the last one said."""
        while True:
            try:
                pause = await step()
            except Exception as error:  # noqa: BLE001 - the loop must survive whatever happens
                self._observer.background_task_failed(name, error)
                await self._clock.sleep(_PAUSE_AFTER_ERROR)
                continue
            await self._wakeups[name].wait(pause)

    async def _tick(self) -> float:
        self.runner.tick()
        return _TICK_SECONDS

    async def _poll(self) -> float:
        """See to changes of webhooks, deliveries that nobody holds, and other workers."""
        self.on_webhooks_changed(await self._webhooks.webhooks_revision())
        reaper, unknown_commits, released = self._maintenance.reaper, self.runner.unknown_commits, 0
        if unknown_commits != self._settled_commits:
            async with self._claiming:
                released = await reaper.release_orphaned(self.worker, self.runner.holds)
            self._settled_commits = unknown_commits
        if await reaper.reap() or released:
            self.on_capacity()
        self.runner.share(others=await self._deliveries.enlisted() - 1)
        return self._rules.poll_interval.total_seconds()

    async def _refresh(self) -> float:
        if stale := self._queue.stale():
            self.runner.refresh(stale, await self._webhooks.snapshot(stale))
        return self._rules.poll_interval.total_seconds()

    async def _maintain(self) -> float:
        self._queue.forget_idle(self._clock.monotonic() - _IDLE_QUEUE_SECONDS)
        self.runner.unknown_commits += 1
        reaper = self._maintenance.reaper
        await reaper.cancel_unsendable()
        await reaper.delete_old_responses()
        if await reaper.disable_failing() or await reaper.resume_if_off():
            self.on_webhooks_changed(await self._webhooks.webhooks_revision())
        return _MAINTENANCE_SECONDS

    async def _replay(self) -> float:
        progress = await self._maintenance.replays.advance_all()
        if progress.made:
            self.on_capacity()
        return _REPLAY_PAUSE if progress.examined else self._rules.poll_interval.total_seconds()

    async def _sweep(self) -> float:
        goes_on = await self._maintenance.retention.sweep_batch()
        return _SWEEP_PAUSE if goes_on else _MAINTENANCE_SECONDS

    async def _keep_lock(self) -> float:
        await self._lock_guard.recover_once()
        # Whatever was told meanwhile was not heard.
        self._wakeups["poll"].set()
        self.on_capacity()
        return 0.0

    async def _await_notification(self) -> float:
        await self._notifier.wait()
        self.on_capacity()
        return 0.0


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
