"""Sending what this process holds, in turn over the webhooks, and keeping what it holds in view."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Final
from uuid import UUID

from notification_core.concurrency.ids import milliseconds_of
from notification_core.dispatch.attempt import AttemptMaker
from notification_core.dispatch.fair_queue import SLOW_AFTER, FairQueue
from notification_core.dispatch.result_writer import ResultWriter
from notification_core.dispatch.webhook_queue import InFlightRequest, QueuedDelivery
from notification_core.errors import ResourceShort
from notification_core.ingest.plan import DirectDispatch
from notification_core.model.delivery import AttemptResult, ClaimedDelivery, Fence
from notification_core.model.signing_key import SigningKey
from notification_core.model.webhook import Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import Claimed
from notification_core.ports.observer import Observer
from notification_core.ports.webhooks import Snapshot
from notification_core.signing.key_cache import SigningKeyCache

SHORTAGE_SECONDS: Final = 1.0
"""How long after a shortage nothing is claimed or sent; then it is tried again."""


class DeliveryRunner(DirectDispatch):
    """Holds begun deliveries in lanes and sends them as fast as the bounds allow.

    A chain of attempts runs in one task for as long as there is a next delivery. ``wanting`` is
    called when storage should be claimed from again, ``stale`` when webhooks must be read again.
    While this machine has a ``shortage``, nothing is taken and no request is started.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        worker: UUID,
        lease: timedelta,
        lanes: FairQueue,
        deliver: AttemptMaker,
        key_cache: SigningKeyCache,
        recorder: ResultWriter,
        clock: Clock,
        observer: Observer,
        wanting: Callable[[], None],
        stale: Callable[[], None],
    ) -> None:
        self.worker = worker
        self.lease = lease
        self.lanes = lanes
        self._deliver = deliver
        self._key_cache = key_cache
        self._recorder = recorder
        self._clock = clock
        self._observer = observer
        self._wanting = wanting
        self._stale = stale
        self._held: Counter[UUID] = Counter()
        self._left: set[UUID] = set()
        self._chains: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._suspended = False
        self.shortage: ResourceShort | None = None
        self._short_until = 0.0

    @property
    def idle(self) -> bool:
        """Tell whether nothing is in this process's hands: all that it took is written or free."""
        return not self._held

    # Taking deliveries in: from ingest (the Taker port), and from claims.

    def reserve(
        self, delivery_id: UUID, webhook: Webhook, webhooks_revision: int, size: int
    ) -> bool:
        """Keep a place; what is being committed counts as held."""
        if self._halted or not self.lanes.reserve(webhook, webhooks_revision, size):
            return False
        self._held[delivery_id] += 1
        return True

    def release(self, claimed: Sequence[ClaimedDelivery]) -> None:
        """Give the places back; if the commit happened after all, the rows are found unheld."""
        for delivery in claimed:
            self.lanes.unreserve(delivery.webhook_id, len(delivery.body))
            self._let_go(delivery.fence)

    def hand_over(self, claimed: Sequence[ClaimedDelivery], leased_from: float) -> None:
        """Let committed deliveries wait in the places that were reserved for them."""
        leased_until = leased_from + self.lease.total_seconds()
        fresh = [self.lanes.fill(QueuedDelivery(delivery, leased_until)) for delivery in claimed]
        self._go_on(claimed, fresh=all(fresh))

    def take(self, claimed: Claimed, leased_from: float) -> None:
        """Let claimed deliveries wait in their lanes."""
        leased_until = leased_from + self.lease.total_seconds()
        fresh = True
        for delivery in claimed.deliveries:
            self._held[delivery.fence.delivery_id] += 1
            self._left.discard(delivery.fence.delivery_id)
            webhook = claimed.webhooks[delivery.webhook_id]
            fresh &= self.lanes.add(
                QueuedDelivery(delivery, leased_until), webhook, claimed.webhooks_revision
            )
        self._go_on(claimed.deliveries, fresh=fresh)

    def wake(self) -> None:
        """Pass on that there is something to claim."""
        self._wanting()

    def holds(self, delivery_id: UUID) -> bool:
        """Tell whether a delivery is in this process's hands, or being committed to them."""
        return self._held[delivery_id] > 0 or delivery_id in self._left

    def written(self, fences: Sequence[Fence]) -> None:
        """Let go of deliveries whose results are in storage, and go on sending."""
        for fence in fences:
            self._let_go(fence)
        self.fill()

    def leave(self, fence: Fence) -> None:
        """Leave a delivery to its lease: its attempt was made, and storage refuses the result."""
        self._left.add(fence.delivery_id)
        self.written([fence])

    def _let_go(self, fence: Fence) -> None:
        left = self._held.pop(fence.delivery_id, 0) - 1
        if left > 0:
            self._held[fence.delivery_id] = left

    def _go_on(self, taken: Sequence[ClaimedDelivery], *, fresh: bool) -> None:
        if any(delivery.fence.worker != self.worker for delivery in taken):
            self._return(self.lanes.drop(lambda fence: fence.worker != self.worker))
        self.fill()
        if self._stopping:
            self._return(self.lanes.drain())
        elif not fresh:
            self._stale()

    # Sending.

    def fill(self) -> None:
        """Start as many chains of attempts as the bounds allow."""
        while (start := self._next()) is not None:
            chain = asyncio.create_task(self._chain(*start))
            self._chains.add(chain)
            chain.add_done_callback(self._chains.discard)

    def _next(self) -> tuple[QueuedDelivery, InFlightRequest] | None:
        if self._halted or self._unfinished >= self.lanes.bounds.in_flight:
            return None
        return self.lanes.next(self._clock.monotonic())

    @property
    def _unfinished(self) -> int:
        """How many attempts a kill would repeat: unwritten ones are in flight still."""
        return self.lanes.in_flight + self._recorder.unwritten

    async def _chain(self, held: QueuedDelivery, flight: InFlightRequest) -> None:
        start: tuple[QueuedDelivery, InFlightRequest] | None = (held, flight)
        while start is not None:
            if await self._attempt(*start) and self.lanes.is_hungry(start[1].lane):
                self._wanting()
            start = self._next()

    async def _attempt(self, held: QueuedDelivery, flight: InFlightRequest) -> bool:
        """Make the attempt if it may still be made; tell whether it was."""
        keys = await self._keys(held.delivery.fence.environment_id)
        if not keys or self._halted or not self._has_time(held):
            self.lanes.unsent(flight)
            self._return([held])
            return False
        if not self.lanes.is_fresh(flight.lane):
            self.lanes.put_back(held, flight)
            self._stale()
            return False
        if held.delivery.fence.attempt == 1:
            self._tell_of_first_attempt(held.delivery, flight)
        try:
            result = await self._send(held.delivery, flight.lane.webhook, keys)
        except ResourceShort as shortage:
            self.lanes.unsent(flight)
            self._release(held, shortage)
            return False
        self._note(flight, result)
        self._recorder.record(result)
        return True

    def _tell_of_first_attempt(self, delivery: ClaimedDelivery, flight: InFlightRequest) -> None:
        """Tell how long a delivery has waited, unless that was for its own webhook."""
        made = milliseconds_of(delivery.fence.delivery_id) / 1000
        seconds = max(0.0, self._clock.now().timestamp() - made)
        if flight.bounded_at >= flight.started - seconds:
            return
        # It may have been disabled meanwhile. Not asked of each delivery: this is the hot path.
        if seconds > SLOW_AFTER and flight.lane.webhook.updated_at.timestamp() >= made:
            return
        self._observer.first_attempt_started(seconds)

    async def _keys(self, environment_id: UUID) -> Sequence[SigningKey]:
        """Return the keys to sign with; none where they cannot be had now."""
        try:
            return await self._key_cache.keys(environment_id)
        except Exception as error:  # noqa: BLE001 - nothing is out yet: whatever failed, it is given back
            self._observer.background_task_failed("keys", error)
            return ()

    def _has_time(self, held: QueuedDelivery) -> bool:
        """Tell whether an attempt that begins now ends within its lease."""
        left = held.leased_until - self._clock.monotonic()
        return left >= self._deliver.rules.timeout.total_seconds()

    async def _send(
        self, delivery: ClaimedDelivery, webhook: Webhook, keys: Sequence[SigningKey]
    ) -> AttemptResult:
        try:
            return await self._deliver.attempt(delivery, webhook, keys)
        except ResourceShort:
            raise
        except Exception as error:  # noqa: BLE001 - the request may be out: whatever failed, it is logged
            self._observer.background_task_failed("send", error)
            return self._deliver.interrupted(delivery, webhook)

    def _release(self, held: QueuedDelivery, shortage: ResourceShort) -> None:
        """Give back what could not be sent, and pause if nothing else can be sent either."""
        self._observer.resource_exhausted(shortage.resource)
        if shortage.everywhere:
            self.shortage = shortage
            self._short_until = self._clock.monotonic() + SHORTAGE_SECONDS
        self._recorder.release([held.delivery.fence], self._deliver.rules.retries.interval)

    def _note(self, flight: InFlightRequest, result: AttemptResult) -> None:
        """Tell the lane how its webhook has answered."""
        attempt = result.attempt
        self.lanes.ended(
            flight,
            self._clock.monotonic(),
            answered=attempt.response is not None,
            succeeded=attempt.error is None,
        )

    # What changes meanwhile.

    def refresh(self, webhook_ids: Iterable[UUID], snapshot: Snapshot) -> None:
        """Judge what waits by the webhooks as they are now."""
        now = self._clock.now()
        for webhook_id in webhook_ids:
            webhook = snapshot.webhooks.get(webhook_id)
            if webhook is not None and not webhook.may_be_sent_to(now):
                webhook = None
            self._return(self.lanes.refresh(webhook_id, webhook, snapshot.webhooks_revision))
        self.fill()

    def tick(self) -> None:
        """See to what time alone changes: slow requests, leases that run out, a shortage."""
        now = self._clock.monotonic()
        if self.shortage and now >= self._short_until:
            self.shortage = None
            self._wanting()
        self.lanes.age(now)
        self._return(self.lanes.expiring(now + self._deliver.rules.timeout.total_seconds()))
        self._return(self.lanes.surplus())
        self.fill()

    def _return(self, helds: Sequence[QueuedDelivery]) -> None:
        if helds:
            self._recorder.release([held.delivery.fence for held in helds])

    # When others may take this worker for dead.

    @property
    def _halted(self) -> bool:
        return self._stopping or self._suspended or self.shortage is not None

    @property
    def suspended(self) -> bool:
        """Tell whether no request is started, until it is said that they may be."""
        return self._suspended

    def suspend(self) -> None:
        """Start no more requests; those that are out go on, and what waits stays."""
        self._suspended = True

    def resume(self) -> None:
        """Send again."""
        self._suspended = False
        self.fill()

    def waiting_fences(self) -> set[Fence]:
        """Return what waits here to be sent."""
        return self.lanes.fences()

    def let_go(self, fences: AbstractSet[Fence]) -> None:
        """Drop what waits here and belongs to others by now."""
        for held in self.lanes.drop(fences.__contains__):
            self._let_go(held.delivery.fence)

    def start_anew(self, worker: UUID) -> None:
        """Own what comes from now on as another worker, and give back what waits."""
        self.worker = worker
        self._return(self.lanes.drain())

    def halt(self) -> None:
        """Start no more requests for good, and give back what waits; what is out goes on."""
        self._stopping = True
        self._return(self.lanes.drain())

    async def stop(self) -> None:
        """Halt, and return once every request that is out has ended."""
        self.halt()
        if self._chains:
            await asyncio.wait(self._chains)

    def abandon(self) -> None:
        """Tear off the requests that are still out."""
        for chain in self._chains:
            chain.cancel()
