"""Who may send next: deliveries wait in a lane for each webhook, and lanes share the capacity.

Three bounds keep webhooks from hurting one another.

* Of each webhook at most ``per_webhook`` requests are in flight, two while its attempts get no
  answer, whether they time out or are refused at once: a dead receiver costs no more than that.
* Webhooks that answer, and those that do not (or have not yet), have half of all requests in
  flight each. A lane changes halves together with what it has in flight: once a request of it
  has been out for longer than ``SLOW_AFTER``, and back when it answers.
* What waits in memory is bounded in rows and bytes, and half of it is kept for webhooks that
  answer; one that fails or is slow may have no more waiting than it may have in flight.

Pure: time is handed in, as seconds of one monotonic clock.
"""

from collections import Counter, deque
from collections.abc import Callable
from uuid import UUID

from attrs import frozen

from notification_core.dispatch.webhook_queue import (
    CapacityShare,
    InFlightRequest,
    QueuedDelivery,
    WebhookQueue,
)
from notification_core.model.delivery import Fence
from notification_core.model.webhook import Webhook

SLOW_AFTER = 1.0
"""Seconds after which a request in flight counts as waiting and no longer as work."""

MAX_WAITING = 2_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
_SILENT_LIMIT = 2
_CLAIMED_PER_SLOT = 4


@frozen
class Bounds:
    """How much may be in flight and wait at once, in requests and bytes."""

    in_flight: int = 512
    per_webhook: int = 64
    waiting: int = MAX_WAITING
    waiting_bytes: int = MAX_WAITING_BYTES


class FairQueue:
    """The lanes of all webhooks of which this process has deliveries, or had some lately."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._lanes: dict[UUID, WebhookQueue] = {}
        self._proven = CapacityShare()
        self._unproven = CapacityShare()
        self._flights: deque[InFlightRequest] = deque()
        self._changes = 0
        self._starved = False

    @property
    def in_flight(self) -> int:
        """How many requests are out."""
        return self._proven.in_flight + self._unproven.in_flight

    @property
    def waiting(self) -> int:
        """How many deliveries wait here or have a place reserved."""
        return self._proven.waiting + self._unproven.waiting

    @property
    def waiting_bytes(self) -> int:
        """The size of the bodies of all that waits or has a place."""
        return self._proven.waiting_bytes + self._unproven.waiting_bytes

    # What may come in.

    def room(self, webhook_id: UUID, size: int = 0) -> int:
        """Return how many more deliveries of this size may be handed over of a webhook."""
        lane = self._lanes.get(webhook_id)
        free = self._free(size, proven=lane is not None and lane.proven)
        if lane is not None and (lane.failing or lane.slow):
            return min(free, self._own_room(lane))
        return free

    def _free(self, size: int = 0, *, proven: bool) -> int:
        """Return how many places are free; half of them are only for webhooks that answer."""
        bounds, unproven = self.bounds, self._unproven
        rows = bounds.waiting - self.waiting
        left = bounds.waiting_bytes - self.waiting_bytes
        if not proven:
            rows = min(rows, max(1, bounds.waiting // 2) - unproven.waiting)
            left = min(left, bounds.waiting_bytes // 2 - unproven.waiting_bytes)
        return max(0, rows) if left > 0 and size <= left else 0

    def rooms(self) -> dict[UUID, int]:
        """Return, for each known webhook, how many deliveries a claim may take of it."""
        return {webhook_id: self._claim_room(lane) for webhook_id, lane in self._lanes.items()}

    def newcomer_room(self) -> int:
        """Return how many deliveries a claim may take of a webhook that has no lane here."""
        return min(self.bounds.per_webhook, self._free(proven=False))

    def note_more(self, webhook_id: UUID) -> None:
        """Note that storage has more deliveries of a webhook than there was room for."""
        # One that was idle may have been forgotten while storage was asked.
        if lane := self._lanes.get(webhook_id):
            lane.more = True

    def note_starved(self) -> None:
        """Note that a claim was not made because nothing more may wait."""
        self._starved = True

    def is_hungry(self, lane: WebhookQueue) -> bool:
        """Tell, once, that storage has more and half of the room for it is free again."""
        hungry = lane.more and 2 * self._claim_room(lane) >= self._claim_bound(lane)
        lane.more = lane.more and not hungry
        relieved = self._starved and 2 * self.waiting < self.bounds.waiting
        self._starved = self._starved and not relieved
        return hungry or relieved

    def _claim_room(self, lane: WebhookQueue) -> int:
        taken = lane.kept if self._trusted(lane) else lane.kept + lane.in_flight
        own = max(0, self._claim_bound(lane) - taken)
        return min(own, self._free(proven=lane.proven))

    def _claim_bound(self, lane: WebhookQueue) -> int:
        """Let a webhook that answers well have some rounds waiting, so that claims stay large."""
        return _CLAIMED_PER_SLOT * self.bounds.per_webhook if self._trusted(lane) else lane.limit

    @staticmethod
    def _trusted(lane: WebhookQueue) -> bool:
        return lane.proven and not lane.failing

    def _own_room(self, lane: WebhookQueue) -> int:
        return max(0, lane.limit - lane.in_flight - lane.kept)

    def reserve(self, webhook: Webhook, webhooks_revision: int, size: int) -> bool:
        """Keep a place for a delivery of this size; tell whether there is one."""
        if not self.room(webhook.webhook_id, size):
            return False
        lane = self._lane(webhook, webhooks_revision)
        lane.reserved += 1
        self._count(lane, 1, size)
        return True

    def unreserve(self, webhook_id: UUID, size: int) -> None:
        """Give a reserved place back."""
        lane = self._lanes[webhook_id]
        lane.reserved -= 1
        self._count(lane, -1, -size)

    def fill(self, held: QueuedDelivery) -> bool:
        """Let a delivery wait in the place that was reserved for it; tell if its lane is fresh."""
        lane = self._lanes[held.delivery.webhook_id]
        lane.reserved -= 1
        lane.waiting.append(held)
        self._queue(lane)
        return self.is_fresh(lane)

    def add(self, held: QueuedDelivery, webhook: Webhook, webhooks_revision: int) -> bool:
        """Let a begun delivery wait in its webhook's lane; tell whether that is fresh."""
        lane = self._lane(webhook, webhooks_revision)
        lane.waiting.append(held)
        self._count(lane, 1, len(held.delivery.body))
        self._queue(lane)
        return self.is_fresh(lane)

    def _lane(self, webhook: Webhook, webhooks_revision: int) -> WebhookQueue:
        lane = self._lanes.get(webhook.webhook_id)
        if lane is None:
            lane = WebhookQueue(webhook, webhooks_revision, self.bounds.per_webhook, self._unproven)
            self._lanes[webhook.webhook_id] = lane
        else:
            self._renew(lane, webhook, webhooks_revision)
        return lane

    def _renew(self, lane: WebhookQueue, webhook: Webhook, webhooks_revision: int) -> None:
        """Take in a webhook unless a later reading of it is known; what waited may go on."""
        if webhooks_revision >= lane.webhooks_revision:
            was_held_back = not self.is_fresh(lane)
            lane.webhook, lane.webhooks_revision = webhook, webhooks_revision
            if was_held_back:
                self._queue(lane)

    @staticmethod
    def _count(lane: WebhookQueue, rows: int, size: int) -> None:
        lane.waiting_bytes += size
        lane.half.waiting += rows
        lane.half.waiting_bytes += size

    # What may go out.

    def next(self, now: float) -> tuple[QueuedDelivery, InFlightRequest] | None:
        """Take the next delivery that may be sent, in turn over the webhooks; None for none."""
        for half in (self._proven, self._unproven):
            while half.ready and self._has_slot(half):
                lane, _ = half.ready.popitem(last=False)
                if self._may_start(lane):
                    return self._start(lane, now)
        return None

    def _has_slot(self, half: CapacityShare) -> bool:
        most = self.bounds.in_flight
        return self.in_flight < most and half.in_flight < max(1, most // 2)

    def _may_start(self, lane: WebhookQueue) -> bool:
        return bool(lane.waiting) and lane.in_flight < lane.limit and self.is_fresh(lane)

    def _start(self, lane: WebhookQueue, now: float) -> tuple[QueuedDelivery, InFlightRequest]:
        held = lane.waiting.popleft()
        self._count(lane, -1, -len(held.delivery.body))
        flight = InFlightRequest(lane, now, lane.bounded_at)
        lane.in_flight += 1
        lane.half.in_flight += 1
        if lane.is_at_bound:
            lane.bounded_at = now
        self._flights.append(flight)
        self._queue(lane)
        return held, flight

    def _queue(self, lane: WebhookQueue) -> None:
        if self._may_start(lane):
            lane.half.ready.setdefault(lane)

    # What comes back.

    def ended(
        self, flight: InFlightRequest, now: float, *, answered: bool, succeeded: bool
    ) -> None:
        """Note that a request is over: whether the receiver answered, and how."""
        lane = flight.lane
        if lane.is_at_bound:
            lane.bounded_at = now
        self._land(flight)
        lane.answering = answered
        lane.failing = not succeeded
        lane.limit = self._next_limit(lane.limit, answered=answered)
        lane.touched = now
        self._move(lane)

    def unsent(self, flight: InFlightRequest) -> None:
        """Note that a delivery that :meth:`next` gave out is not sent after all."""
        self._land(flight)
        self._move(flight.lane)

    def put_back(self, held: QueuedDelivery, flight: InFlightRequest) -> None:
        """Let a delivery that :meth:`next` gave out wait again, as the first of its lane."""
        flight.lane.waiting.appendleft(held)
        self._count(flight.lane, 1, len(held.delivery.body))
        self.unsent(flight)

    def is_fresh(self, lane: WebhookQueue) -> bool:
        """Tell whether a lane's webhook was read after the latest change that is known."""
        return lane.webhooks_revision >= self._changes

    @staticmethod
    def _land(flight: InFlightRequest) -> None:
        """Take a request out of the counts."""
        lane = flight.lane
        flight.ended = True
        lane.in_flight -= 1
        lane.slow -= flight.slow
        lane.half.in_flight -= 1

    def _move(self, lane: WebhookQueue) -> None:
        """Count a lane in the half that it belongs to now, and let it have its turn there."""
        half = self._proven if lane.proven else self._unproven
        if half is not lane.half:
            lane.half.leave(lane)
            half.enter(lane)
        self._queue(lane)

    def _next_limit(self, limit: int, *, answered: bool) -> int:
        """Fall at once while nobody answers, in time or at all, and grow by doubling again."""
        return min(limit * 2 if answered else _SILENT_LIMIT, self.bounds.per_webhook)

    def age(self, now: float) -> None:
        """Count the requests that have been out for long as waiting, not as work."""
        while self._flights and (self._flights[0].ended or self._is_slow(self._flights[0], now)):
            flight = self._flights.popleft()
            if not flight.ended:
                flight.slow = True
                flight.lane.slow += 1
                self._move(flight.lane)

    @staticmethod
    def _is_slow(flight: InFlightRequest, now: float) -> bool:
        return now - flight.started >= SLOW_AFTER

    # What those who watch want to know.

    def holds_back(self, webhook_id: UUID, since: float) -> bool:
        """Tell whether a webhook has been at its own bound at any time since then."""
        lane = self._lanes.get(webhook_id)
        return lane is not None and (lane.is_at_bound or lane.bounded_at >= since)

    def environments(self) -> Counter[bool]:
        """Count the environments that were sent to lately, those apart that nothing reaches now.

        An environment is reached (True) while the latest attempt of any of its webhooks succeeded.
        """
        reached: dict[UUID, bool] = {}
        for lane in self._lanes.values():
            if lane.touched:
                environment_id = lane.webhook.environment_id
                reached[environment_id] = reached.get(environment_id, False) or not lane.failing
        return Counter(reached.values())

    # What changes meanwhile.

    def on_webhooks_changed(self, webhooks_revision: int) -> bool:
        """Hold back every lane that was read before this change; tell whether that is news."""
        news = webhooks_revision > self._changes
        self._changes = max(webhooks_revision, self._changes)
        return news

    def stale(self) -> list[UUID]:
        """Return the webhooks to be read again before more of their deliveries are sent."""
        return [
            webhook_id
            for webhook_id, lane in self._lanes.items()
            if lane.waiting and lane.webhooks_revision < self._changes
        ]

    def refresh(
        self, webhook_id: UUID, webhook: Webhook | None, webhooks_revision: int
    ) -> list[QueuedDelivery]:
        """Take in a webhook as read at ``webhooks_revision``; return what must not be sent.

        None says that nothing may be sent to it now.
        """
        lane = self._lanes.get(webhook_id)
        if lane is None or webhooks_revision < lane.webhooks_revision:
            return []
        if webhook is None:
            # The lane stays held back: what was read before and arrives later is judged again.
            return self._drain(lane)
        self._renew(lane, webhook, webhooks_revision)
        return []

    def expiring(self, before: float) -> list[QueuedDelivery]:
        """Take out the waiting deliveries whose lease ends before a time."""
        return [
            held
            for lane in self._lanes.values()
            for held in self._keep(lane, lambda held: held.leased_until >= before)
        ]

    def fences(self) -> set[Fence]:
        """Return the fences of all that waits."""
        return {held.delivery.fence for lane in self._lanes.values() for held in lane.waiting}

    def drop(self, unwanted: Callable[[Fence], bool]) -> list[QueuedDelivery]:
        """Take out what waits under a fence that is not wanted."""
        return [
            held
            for lane in self._lanes.values()
            for held in self._keep(lane, lambda held: not unwanted(held.delivery.fence))
        ]

    def surplus(self) -> list[QueuedDelivery]:
        """Take out what webhooks that fail to answer have waiting beyond their bounds.

        Each has its own bound, and all together have half of what may wait.
        """
        found: list[QueuedDelivery] = []
        # Bodies differ in size: the rows that went may not have been half of the bytes.
        while more := self._surplus():
            found += more
        return found

    def _surplus(self) -> list[QueuedDelivery]:
        found = []
        part = self._part_to_keep()
        for lane in self._lanes.values():
            if lane.slow or lane.limit < self.bounds.per_webhook:
                bound = min(lane.limit, int(part * len(lane.waiting)))
                while len(lane.waiting) > bound:
                    found.append(self._last(lane))
        return found

    def _part_to_keep(self) -> float:
        bounds, unproven = self.bounds, self._unproven
        rows = bounds.waiting / 2 / max(1, unproven.waiting)
        return min(1.0, rows, bounds.waiting_bytes / 2 / max(1, unproven.waiting_bytes))

    def drain(self) -> list[QueuedDelivery]:
        """Take out everything that waits."""
        return [held for lane in self._lanes.values() for held in self._drain(lane)]

    def _drain(self, lane: WebhookQueue) -> list[QueuedDelivery]:
        return self._keep(lane, lambda _: False)

    def _keep(
        self, lane: WebhookQueue, wanted: Callable[[QueuedDelivery], bool]
    ) -> list[QueuedDelivery]:
        """Let only the wanted ones wait on; return the others."""
        dropped = [held for held in lane.waiting if not wanted(held)]
        if dropped:
            lane.waiting = deque(held for held in lane.waiting if wanted(held))
            self._count(lane, -len(dropped), -sum(len(held.delivery.body) for held in dropped))
        return dropped

    def _last(self, lane: WebhookQueue) -> QueuedDelivery:
        held = lane.waiting.pop()
        self._count(lane, -1, -len(held.delivery.body))
        return held

    def forget_idle(self, before: float) -> None:
        """Drop the lanes that hold nothing and have not been used since a time."""
        idle = [key for key, lane in self._lanes.items() if lane.empty and lane.touched < before]
        for webhook_id in idle:
            del self._lanes[webhook_id]
