"""Sending what this process holds, in turn over the webhooks, and keeping what it holds in view."""

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextvars import copy_context
from datetime import timedelta
from math import inf
from typing import Final, Protocol
from uuid import UUID

from notification_core.concurrency.ids import milliseconds_of
from notification_core.dispatch.attempt import AttemptMaker
from notification_core.dispatch.fair_queue import SLOW_AFTER, FairQueue
from notification_core.dispatch.pace import SHARED_SECONDS
from notification_core.dispatch.result_writer import ResultWriter
from notification_core.dispatch.webhook_queue import InFlightRequest, QueuedDelivery
from notification_core.errors import ResourceShort
from notification_core.ingest.plan import DirectDispatch, Place
from notification_core.model.delivery import ClaimedDelivery, Fence
from notification_core.model.webhook import Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import Claimed, DeliveryStore
from notification_core.ports.observer import Observer
from notification_core.ports.webhooks import Snapshot
from notification_core.signing.key_cache import SigningKeyCache

SHORTAGE_SECONDS: Final = 1.0
"""How long after a shortage nothing is claimed or sent; then it is retried."""

_TURN_SECONDS: Final = 0.002
"""A timer is not set for less: the turns of that time are taken together."""


class RunnerListener(Protocol):
    """Hears what a :class:`DeliveryRunner` needs to go on."""

    @abstractmethod
    def on_capacity(self) -> None:
        """Claim again: there is room for more, or more to claim."""

    @abstractmethod
    def on_prefetched(self) -> None:
        """Begin what is prefetched: :meth:`DeliveryRunner.begin_prefetched`."""

    @abstractmethod
    def on_turn(self) -> None:
        """Send what waits for its turn: :meth:`DeliveryRunner.take_turns`."""

    @abstractmethod
    def on_stale_webhooks(self) -> None:
        """Read webhooks again: deliveries wait for what they are now."""


class DeliveryRunner(DirectDispatch):
    """Holds claimed deliveries in queues and sends them as fast as the bounds allow.

    A chain of attempts runs in one task for as long as there is a next delivery. While it is
    ``suspended``, or this host has a ``shortage``, nothing is taken from ingest and no request
    is started. ``unknown_commits`` counts what may have been committed without our knowing, so that
    this worker may own deliveries in storage which are not here.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        worker: UUID,
        lease: timedelta,
        queue: FairQueue,
        attempts: AttemptMaker,
        key_cache: SigningKeyCache,
        results: ResultWriter,
        clock: Clock,
        observer: Observer,
        listener: RunnerListener,
    ) -> None:
        self.worker = worker
        self.lease = lease
        self.queue = queue
        self._attempts = attempts
        self._key_cache = key_cache
        self._results = results
        self._clock = clock
        self._observer = observer
        self._listener = listener
        self._held: Counter[UUID] = Counter()
        self._begun: set[UUID] = set()
        self._abandoned: set[UUID] = set()
        self._chains: set[asyncio.Task[None]] = set()
        # Chains are not to inherit from whichever request has started them.
        self._context = copy_context()
        self._stopping = False
        self.unknown_commits = 1
        self.suspended = False
        self.shortage: ResourceShort | None = None
        self._short_until = 0.0
        self._turn_at = inf

    @property
    def idle(self) -> bool:
        """Tell whether nothing is in this process's hands: all that it took is written or free."""
        return not self._held

    @property
    def traced(self) -> bool:
        """Tell whether attempts are recorded in the traces of their events."""
        return self._attempts.tracer.is_on

    # Taking deliveries in: from ingest (DirectDispatch), and from claims.

    def reserve(
        self, delivery_id: UUID, webhook: Webhook, webhooks_revision: int, size: int
    ) -> Place | None:
        """Keep a place; what is being committed counts as held."""
        if self._is_halted or not webhook.may_be_claimed_on_insert:
            return None
        place = self.queue.reserve(webhook, webhooks_revision, size)
        if place:
            self._held[delivery_id] += 1
        return place

    def release(self, claimed: Sequence[ClaimedDelivery]) -> None:
        """Give the places back; if the commit happened after all, the rows are orphaned."""
        self.unknown_commits += 1
        for delivery in claimed:
            self.queue.unreserve(delivery)
            self._let_go(delivery.fence)

    def hand_over(self, claimed: Sequence[ClaimedDelivery], leased_from: float) -> None:
        """Let committed deliveries wait in the places that were reserved for them."""
        leased_until = leased_from + self.lease.total_seconds()
        current = [self.queue.fill(QueuedDelivery(delivery, leased_until)) for delivery in claimed]
        self._follow(claimed)
        self._go_on(claimed, are_current=all(current))

    def take(self, claimed: Claimed, leased_from: float) -> None:
        """Let claimed deliveries wait in their queues, but for those that are here still.

        Others have freed these meanwhile, and what was only prefetched keeps its attempt number:
        the release of what is here would free the new claim during its request.
        """
        leased_until, now = leased_from + self.lease.total_seconds(), self._clock.monotonic()
        are_current = True
        numbers: Counter[UUID] = Counter()
        for delivery in claimed.deliveries:
            self._held[delivery.fence.delivery_id] += 1
            if self._held[delivery.fence.delivery_id] > 1:
                self._results.release([delivery.fence])
                continue
            self._abandoned.discard(delivery.fence.delivery_id)
            webhook = claimed.webhooks[delivery.webhook_id]
            queued = QueuedDelivery(delivery, leased_until)
            if granted := claimed.grants.get(delivery.webhook_id):
                delay = granted.delay_of(numbers[delivery.webhook_id]).total_seconds()
                queued = QueuedDelivery(delivery, leased_until, now + delay)
                numbers[delivery.webhook_id] += 1
            are_current &= self.queue.add(queued, webhook, claimed.webhooks_revision)
        if claimed.deliveries:
            self._observer.deliveries_claimed(len(claimed.deliveries))
        self._follow(claimed.deliveries)
        self._go_on(claimed.deliveries, are_current=are_current)

    def share(self, others: int) -> None:
        """Let less wait here if others could send it meanwhile, else what its lease allows."""
        alone_seconds = (self.lease - self._attempts.rules.timeout).total_seconds() / 2
        self.queue.capacity.pace.seconds = SHARED_SECONDS if others > 0 else alone_seconds

    def wake(self) -> None:
        """Pass on that there is something to claim."""
        self._listener.on_capacity()

    def holds(self, delivery_id: UUID) -> bool:
        """Tell whether a delivery is in this process's hands, or being committed to them."""
        return self._held[delivery_id] > 0 or delivery_id in self._abandoned

    def written(self, fences: Iterable[Fence]) -> None:
        """Let go of deliveries whose results are in storage, and go on sending."""
        for fence in fences:
            self._let_go(fence)
        self.queue.capacity.unwritten = len(self._results.unwritten)
        self.fill()

    def abandon(self, fence: Fence) -> None:
        """Leave a delivery to its lease: its attempt was made, and storage refuses the result."""
        self._abandoned.add(fence.delivery_id)
        self.written([fence])

    def _let_go(self, fence: Fence) -> None:
        self._begun.discard(fence.delivery_id)
        left = self._held.pop(fence.delivery_id, 0) - 1
        if left > 0:
            self._held[fence.delivery_id] = left

    def _follow(self, claimed: Sequence[ClaimedDelivery]) -> None:
        if follower := self._observer.follower:
            for delivery in claimed:
                follower.delivery_claimed(delivery)

    def _go_on(self, taken: Sequence[ClaimedDelivery], *, are_current: bool) -> None:
        if any(delivery.fence.worker != self.worker for delivery in taken):
            self._release(self.queue.drop(lambda fence: fence.worker != self.worker))
        self.fill()
        if self._stopping:
            self._release(self.queue.drain())
        elif not are_current:
            self._listener.on_stale_webhooks()

    # Beginning what was prefetched.

    async def begin_prefetched(self, store: DeliveryStore) -> bool:
        """Begin what is prefetched, as far as there is room, before any of it is sent.

        False if this worker may begin nothing more: then it is to become another one.
        """
        while not self._is_halted and (taken := self.queue.take_prefetched()):
            worker, may_begin = self.worker, False
            ids = {queued.delivery.fence.delivery_id for queued in taken}
            try:
                may_begin = await store.begin(worker, ids | self._begun | self._abandoned)
            finally:
                if not may_begin:
                    self.queue.return_prefetched(taken)
            if not may_begin:
                return False
            self._begun |= ids
            are_current = self.queue.begin(taken)
            self._go_on([queued.delivery for queued in taken], are_current=are_current)
        return True

    # Sending.

    def fill(self) -> None:
        """Start as many chains of attempts as the bounds allow, and have more deliveries begun."""
        while (start := self._next()) is not None:
            chain = asyncio.create_task(self._run_chain(*start), context=self._context.copy())
            self._chains.add(chain)
            chain.add_done_callback(self._chains.discard)
        if self.queue.has_prefetched:
            self._listener.on_prefetched()

    def _next(self) -> tuple[QueuedDelivery, InFlightRequest] | None:
        if self._is_halted:
            return None
        start = self.queue.next(self._clock.monotonic())
        if self.queue.turns.next_at < self._turn_at:
            self._turn_at = self.queue.turns.next_at
            self._listener.on_turn()
        return start

    async def take_turns(self) -> float:
        """Send what has waited for its turn; return in how many seconds the next one comes."""
        self._turn_at = -inf  # what is found now is in the result
        self.fill()
        pause = self.queue.turns.next_at - self._clock.monotonic()
        # What is late waits for a request to end, and not for a time.
        self._turn_at = self.queue.turns.next_at if pause > 0 else inf
        return min(1.0, max(_TURN_SECONDS, pause)) if pause > 0 else 1.0

    async def _run_chain(self, queued: QueuedDelivery, request: InFlightRequest) -> None:
        start: tuple[QueuedDelivery, InFlightRequest] | None = (queued, request)
        while start is not None:
            if await self._attempt(*start) and self.queue.should_claim(start[1].queue):
                self._listener.on_capacity()
            start = self._next()

    async def _attempt(self, queued: QueuedDelivery, request: InFlightRequest) -> bool:
        """Make the attempt if it may still be made and ends within its lease; tell if it was."""
        delivery, webhook_queue = queued.delivery, request.queue
        try:
            keys = await self._key_cache.get(delivery.fence.environment_id)
        except Exception as error:  # noqa: BLE001 - nothing is out yet: whatever failed, it is released
            self._observer.background_task_failed("keys", error)
            keys = ()
        seconds_left = queued.leased_until - self._clock.monotonic()
        has_time = seconds_left >= self._attempts.rules.timeout.total_seconds()
        if not keys or self._is_halted or not has_time:
            self.queue.cancel(request)
            self._release([queued])
            return False
        if not self.queue.is_current(webhook_queue):
            self.queue.put_back(queued, request)
            self._listener.on_stale_webhooks()
            return False
        if delivery.fence.attempt == 1:
            self._observe_first_attempt(delivery, request)
        if self._observer.follower:
            self._observer.follower.attempt_started(delivery)
        try:
            result = await self._attempts.make(
                delivery, webhook_queue.webhook, keys, lambda: webhook_queue.webhook
            )
        except ResourceShort as shortage:
            self.queue.cancel(request)
            self._pause(queued, shortage)
            return False
        except Exception as error:  # noqa: BLE001 - the request may be out: whatever failed, it is logged
            self._observer.background_task_failed("send", error)
            result = self._attempts.interrupted(delivery, webhook_queue.webhook)
        attempt = result.attempt
        if self._observer.follower:
            self._observer.follower.attempt_finished(attempt)
        responded, succeeded = attempt.response is not None, attempt.error is None
        now = self._clock.monotonic()
        self.queue.finish(request, now, responded=responded, succeeded=succeeded)
        self._results.record(result)
        self.queue.capacity.unwritten = len(self._results.unwritten)
        return True

    def _observe_first_attempt(self, delivery: ClaimedDelivery, request: InFlightRequest) -> None:
        """Tell how long a delivery has waited, unless that was for its own webhook."""
        created = milliseconds_of(delivery.fence.delivery_id) / 1000
        seconds = max(0.0, self._clock.now().timestamp() - created)
        is_rate_limited = request.queue.webhook.rate_limit is not None
        if is_rate_limited or request.limited_at >= request.started - seconds:
            return
        # It may have been disabled meanwhile. Not asked of each delivery: this is the hot path.
        if seconds > SLOW_AFTER and request.queue.webhook.updated_at.timestamp() >= created:
            return
        self._observer.first_attempt_started(seconds)

    def _pause(self, queued: QueuedDelivery, shortage: ResourceShort) -> None:
        """Release what could not be sent, and pause if nothing else can be sent either."""
        self._observer.resource_exhausted(shortage.resource)
        if shortage.everywhere:
            self.shortage = shortage
            self._short_until = self._clock.monotonic() + SHORTAGE_SECONDS
        self._results.release([queued.delivery.fence], self._attempts.rules.retries.interval)

    # What changes meanwhile.

    def refresh(self, webhook_ids: Iterable[UUID], snapshot: Snapshot) -> None:
        """Check what waits by the webhooks as they are now."""
        now = self._clock.now()
        for webhook_id in webhook_ids:
            webhook = snapshot.webhooks.get(webhook_id)
            if webhook is not None and (webhook.is_paused or not webhook.may_be_sent_to(now)):
                webhook = None  # a probe that waits too: it is soon claimed again
            self._release(self.queue.refresh(webhook_id, webhook, snapshot.webhooks_revision))
        self.fill()

    def tick(self) -> None:
        """See to what time alone changes: slow requests, leases that run out, a shortage."""
        now = self._clock.monotonic()
        if self.shortage and now >= self._short_until:
            self.shortage = None
            self._listener.on_capacity()
        self.queue.age(now)
        self._release(self.queue.expiring(now + self._attempts.rules.timeout.total_seconds()))
        self._release(self.queue.surplus())
        self._release(self.queue.excess())
        self.fill()

    def _release(self, deliveries: Sequence[QueuedDelivery]) -> None:
        if deliveries:
            self._results.release([queued.delivery.fence for queued in deliveries])

    # When others may take this worker for dead.

    @property
    def _is_halted(self) -> bool:
        return self._stopping or self.suspended or self.shortage is not None

    def suspend(self) -> None:
        """Start no more requests until told to; those in flight go on, and what waits stays."""
        self.suspended = True

    def resume(self) -> None:
        """Send again."""
        self.suspended = False
        self.fill()

    def let_go(self, fences: AbstractSet[Fence]) -> None:
        """Drop what waits here and belongs to others by now."""
        for queued in self.queue.drop(fences.__contains__):
            self._let_go(queued.delivery.fence)

    def become(self, worker: UUID) -> None:
        """Own what comes from now on as another worker, and release what waits."""
        self.worker = worker
        self._release(self.queue.drain())

    def halt(self) -> None:
        """Start no more requests from now on, and release what waits; what is in flight goes on."""
        self._stopping = True
        self._release(self.queue.drain())

    async def stop(self) -> None:
        """Halt, and return once every request in flight has ended."""
        self.halt()
        if self._chains:
            await asyncio.wait(self._chains)

    def tear_off(self) -> None:
        """Cancel the requests that are still in flight."""
        for chain in self._chains:
            chain.cancel()
