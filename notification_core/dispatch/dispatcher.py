"""Dispatching: claim what is due, send it in turn, record what it came to.

A delivery passes through here as: claimed or handed over → waiting in its webhook's lane →
sent (one attempt) → recorder → storage. All state in memory is expendable: what a killed
process held is freed by its lease, and made again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from attrs import frozen

from notification_core.concurrency.wakeup import Wakeup
from notification_core.dispatch.attempt import AttemptMaker
from notification_core.dispatch.delivery_runner import DeliveryRunner
from notification_core.dispatch.fair_queue import Bounds, FairQueue
from notification_core.dispatch.result_writer import ResultWriter
from notification_core.dispatch.worker_lock_guard import WorkerLockGuard
from notification_core.environments.erasures import ErasureRunner
from notification_core.errors import WorkerLockLost
from notification_core.maintenance.lease_reaper import LeaseReaper
from notification_core.maintenance.retention_sweeper import RetentionSweeper
from notification_core.model.delivery import AttemptResult, Failed, Fence, Retry
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import Claim, Claimed, DeliveryStore
from notification_core.ports.dispatch_notifier import DispatchNotifier
from notification_core.ports.observer import Observer
from notification_core.ports.webhooks import WebhookStore
from notification_core.ports.worker_lock import WorkerLock
from notification_core.replays.replay_runner import ReplayRunner
from notification_core.signing.key_cache import SigningKeyCache

_CLAIM_LIMIT = 500
_TICK_SECONDS = 0.25
_UPKEEP_SECONDS = 60.0
_IDLE_LANE_SECONDS = 600.0
_REPLAY_PAUSE = 0.1
_FORGET_PAUSE = 0.05
_PAUSE_AFTER_ERROR = 0.5


@frozen
class DispatchRules:
    """The bounds and times of a dispatching process."""

    bounds: Bounds
    lease: timedelta
    poll_interval: timedelta


class Dispatcher:
    """One dispatching process: its loops, from the first claim to the last result written."""

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        worker: UUID,
        deliveries: DeliveryStore,
        webhooks: WebhookStore,
        deliver: AttemptMaker,
        key_cache: SigningKeyCache,
        upkeep: LeaseReaper,
        replay_runner: ReplayRunner,
        retention_sweeper: RetentionSweeper,
        erasure_runner: ErasureRunner,
        lock: WorkerLock,
        notifier: DispatchNotifier,
        clock: Clock,
        observer: Observer,
        rules: DispatchRules,
        new_worker: Callable[[], UUID],
    ) -> None:
        self._deliveries = deliveries
        self._webhooks = webhooks
        self._upkeep = upkeep
        self._replay_runner = replay_runner
        self._erasure_runner = erasure_runner
        self._clock = clock
        self._observer = observer
        self._rules = rules
        self._claim_signal = Wakeup(clock)
        self._stale_signal = Wakeup(clock)
        self._poll_signal = Wakeup(clock)
        self._upkeep_signal = Wakeup(clock)
        self._replay_signal = Wakeup(clock)
        self._erase_signal = Wakeup(clock)
        self._claiming = asyncio.Lock()
        self._claims = True
        self._claim_at = 0.0
        self._after: UUID | None = None
        self._lanes = FairQueue(rules.bounds)
        self._recorder = ResultWriter(
            store=deliveries,
            clock=clock,
            observer=observer,
            interruption_delay=deliver.rules.retries.interval,
            recorded=self._recorded,
            returned=self._returned,
            left=self._left,
        )
        self.sending = DeliveryRunner(
            worker=worker,
            lease=rules.lease,
            lanes=self._lanes,
            deliver=deliver,
            key_cache=key_cache,
            recorder=self._recorder,
            clock=clock,
            observer=observer,
            wanting=self._claim_now,
            stale=self._stale_signal.set,
        )
        self._notifier = notifier
        self._retention_sweeper = retention_sweeper
        self._lifeline = WorkerLockGuard(
            lock=lock,
            sending=self.sending,
            deliveries=deliveries,
            clock=clock,
            observer=observer,
            new_worker=new_worker,
        )
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def worker(self) -> UUID:
        """Return who owns what this process takes now."""
        return self.sending.worker

    @property
    def in_flight(self) -> int:
        """Return how many requests are out."""
        return self._lanes.in_flight

    @property
    def waiting(self) -> int:
        """Return how many begun deliveries wait to be sent."""
        return self._lanes.waiting

    def holds_back(self, webhook_id: UUID, age: timedelta) -> bool:
        """Tell whether a webhook has been at its own bound within this time."""
        since = self._clock.monotonic() - age.total_seconds()
        return self._lanes.holds_back(webhook_id, since)

    def environments(self) -> Mapping[bool, int]:
        """Count the environments that were sent to lately: reached (True), and not."""
        return self._lanes.environments()

    async def check(self) -> None:
        """Raise :class:`WorkerLockLost` or :class:`ResourceShort` while nothing is sent for it."""
        if self.sending.shortage:
            raise self.sending.shortage
        if self.sending.suspended:
            raise WorkerLockLost(
                "The worker's lock is lost: nothing is sent until it is held again."
            )

    async def start(self) -> None:
        """Free what a dead process left behind, and begin to dispatch.

        The worker's lock must be held. Raises :class:`StorageUnavailable`.
        """
        await self._upkeep.reap()
        self._lanes.on_webhooks_changed(await self._webhooks.webhooks_revision())
        self._tasks = [
            asyncio.create_task(self._recorder.run()),
            self._loop("tick", self._tick, Wakeup(self._clock)),
            self._loop("claim", self._claim_when_due, self._claim_signal),
            self._loop("poll", self._poll, self._poll_signal),
            self._loop("refresh", self._refresh, self._stale_signal),
            self._loop("upkeep", self._keep_up, self._upkeep_signal),
            self._loop("replay", self._replay, self._replay_signal),
            self._loop("forget", self._forget, Wakeup(self._clock)),
            self._loop("erase", self._erasure_runner.advance_all, self._erase_signal),
            self._loop("lock", self._keep_lock, Wakeup(self._clock)),
            self._loop("hear", self._hear, Wakeup(self._clock)),
        ]

    def wind_down(self) -> None:
        """Begin nothing from now on, and give back what waits; requests that are out go on.

        Returns at once; :meth:`stop` is to follow.
        """
        self._claims = False
        self.sending.halt()

    async def stop(self) -> None:
        """Claim no more, give back what waits, let requests end, and write all results.

        Takes as long as the slowest request; while storage is away it does not return. Cancelled
        meanwhile, it leaves nothing running: the leases tell of what was torn off.
        """
        _, _, *others = self._tasks  # all but the recorder and the tick
        try:
            async with self._claiming:  # a claim torn in the middle would leave leases behind
                await _cancel(others)
            await self.sending.stop()
            await self._recorder.drained()
        finally:
            self.sending.abandon()
            await _cancel(self._tasks)

    def on_webhooks_changed(self, webhooks_revision: int) -> None:
        """Take in that webhooks have changed: nothing more is sent before they are read again."""
        if self._lanes.on_webhooks_changed(webhooks_revision):
            self._stale_signal.set()
            self._upkeep_signal.set()
            self._erase_signal.set()
            self._claim_now()

    def replay(self) -> None:
        """Take in that there is a replay to carry on."""
        self._replay_signal.set()

    def _loop(
        self, name: str, step: Callable[[], Awaitable[float]], signal: Wakeup
    ) -> asyncio.Task[None]:
        return asyncio.create_task(self._repeat(name, step, signal), name=f"dispatch-{name}")

    async def _repeat(
        self, name: str, step: Callable[[], Awaitable[float]], signal: Wakeup
    ) -> None:
        """Do a step whenever its signal is set, and after as many seconds as the last one said."""
        while True:
            try:
                pause = await step()
            except Exception as error:  # noqa: BLE001 - the loop must survive whatever happens
                self._observer.background_task_failed(name, error)
                await self._clock.sleep(_PAUSE_AFTER_ERROR)
                continue
            await signal.wait(pause)

    # Claiming.

    def _claim_now(self) -> None:
        self._claim_by(self._clock.monotonic())

    def _claim_by(self, at: float) -> None:
        """Have the next claim made no later than at this time."""
        if at < self._claim_at:
            self._claim_at = at
            self._claim_signal.set()

    async def _claim_when_due(self) -> float:
        if not self._claims or self.sending.shortage:
            return self._rules.poll_interval.total_seconds()
        now = self._clock.monotonic()
        if now >= self._claim_at:
            self._claim_at = now + self._rules.poll_interval.total_seconds()
            await self._claim(now)
        return max(0.0, self._claim_at - self._clock.monotonic())

    async def _claim(self, now: float) -> None:
        bounds, lanes = self._rules.bounds, self._lanes
        limit = min(_CLAIM_LIMIT, bounds.waiting - lanes.waiting)
        limit_bytes = bounds.waiting_bytes - lanes.waiting_bytes
        if limit <= 0 or limit_bytes <= 0:
            lanes.note_starved()
            return
        claim = Claim(
            worker=self.sending.worker,
            lease=self._rules.lease,
            limit=limit,
            limit_bytes=limit_bytes,
            room=lanes.newcomer_room(),
            rooms=lanes.rooms(),
            after=self._after,
        )
        async with self._claiming:
            claimed = await self._deliveries.acquire(claim)
            self.sending.take(claimed, now)
        if claimed.deliveries:
            self._observer.deliveries_claimed(len(claimed.deliveries))
        self._after = claimed.after
        self._plan_next_claim(claim, claimed)

    def _plan_next_claim(self, claim: Claim, claimed: Claimed) -> None:
        """Claim again at once if there may be more, else when something comes due."""
        taken = Counter(delivery.webhook_id for delivery in claimed.deliveries)
        for webhook_id, room in {**dict.fromkeys(taken, claim.room), **claim.rooms}.items():
            if taken[webhook_id] >= room:
                self._lanes.note_more(webhook_id)
        if claimed.after is not None or len(claimed.deliveries) >= claim.limit:
            self._claim_now()
        elif claimed.next_due is not None:
            self._claim_by(self._clock.monotonic() + claimed.next_due.total_seconds())

    def _recorded(self, results: Sequence[AttemptResult]) -> None:
        """Take in results that are in storage now."""
        now = self._clock.monotonic()
        for result in results:
            match result.verdict:
                case Retry(after=after):
                    self._claim_by(now + after.total_seconds())
                case Failed(disables=None):
                    fence = result.fence
                    self._upkeep.delivery_failed(fence.environment_id, result.attempt.webhook_id)
                case Failed():
                    self._poll_signal.set()
        self.sending.written([result.fence for result in results])

    def _returned(self, fences: Sequence[Fence]) -> None:
        """Take in that deliveries are free again.

        They are claimed with what comes next, by the next poll at the latest: what could not be
        sent just now is not worth a claim of its own, over and over.
        """
        self.sending.written(fences)

    def _left(self, fence: Fence) -> None:
        """Take in that storage refuses a result for good."""
        self.sending.leave(fence)

    # Everything else.

    async def _tick(self) -> float:
        self.sending.tick()
        return _TICK_SECONDS

    async def _poll(self) -> float:
        """See to changes of webhooks, deliveries that nobody holds, and dead workers."""
        self.on_webhooks_changed(await self._webhooks.webhooks_revision())
        async with self._claiming:
            freed = await self._upkeep.release_orphaned(self.worker, self.sending.holds)
        if await self._upkeep.reap() or freed:
            self._claim_now()
        return self._rules.poll_interval.total_seconds()

    async def _refresh(self) -> float:
        stale = self._lanes.stale()
        if stale:
            self.sending.refresh(stale, await self._webhooks.snapshot(stale))
        return self._rules.poll_interval.total_seconds()

    async def _keep_up(self) -> float:
        self._lanes.forget_idle(self._clock.monotonic() - _IDLE_LANE_SECONDS)
        await self._upkeep.cancel_unsendable()
        await self._upkeep.delete_old_answers()
        if await self._upkeep.disable_failing():
            self.on_webhooks_changed(await self._webhooks.webhooks_revision())
        return _UPKEEP_SECONDS

    async def _replay(self) -> float:
        advance = await self._replay_runner.advance_all()
        if advance.made:
            self._claim_now()
        return _REPLAY_PAUSE if advance.examined else self._rules.poll_interval.total_seconds()

    async def _forget(self) -> float:
        return _FORGET_PAUSE if await self._retention_sweeper.sweep_batch() else _UPKEEP_SECONDS

    async def _keep_lock(self) -> float:
        await self._lifeline.recover_once()
        # Whatever was told meanwhile was not heard.
        self._poll_signal.set()
        self._claim_now()
        return 0.0

    async def _hear(self) -> float:
        await self._notifier.wait()
        self._claim_now()
        return 0.0


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
