"""How much may be in flight, be begun and wait, of one webhook and of all together.

Responsive webhooks, and those that do not answer (or have not yet), are counted apart: half of all
is only for the responsive ones. Pure, as the queues that ask it.
"""

from attrs import define, field, frozen

from notification_core.dispatch.pace import Pace
from notification_core.dispatch.webhook_queue import CapacityShare, WebhookQueue
from notification_core.model.rate_limit import max_waiting

MAX_WAITING = 20_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
_WAITING_PER_SLOT = 4


@frozen
class Bounds:
    """How much may be in flight and wait at once, in requests and bytes.

    How many of ``waiting`` may wait depends on the :class:`Pace`.
    """

    in_flight: int = 512
    per_webhook: int = 64
    waiting: int = MAX_WAITING
    waiting_bytes: int = MAX_WAITING_BYTES


@define
class Capacity:
    """The bounds of a process, and what is taken of them.

    ``unwritten`` is how many attempts have ended of which storage has no result yet: a kill makes
    them again, so they are in flight still. ``claiming`` is how many a claim may begin that is
    being made.
    """

    bounds: Bounds
    unwritten: int = 0
    claiming: int = 0
    responsive: CapacityShare = field(factory=CapacityShare)
    unresponsive: CapacityShare = field(factory=CapacityShare)
    pace: Pace = field(init=False)

    @pace.default
    def _new_pace(self) -> Pace:
        return Pace(self.bounds.waiting)

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return self.responsive.in_flight + self.unresponsive.in_flight

    @property
    def waiting(self) -> int:
        """How many deliveries wait or have a place reserved."""
        return self.responsive.waiting + self.unresponsive.waiting

    @property
    def waiting_bytes(self) -> int:
        """The size of the bodies of all that waits or has a place."""
        return self.responsive.waiting_bytes + self.unresponsive.waiting_bytes

    def free_places(self, share: CapacityShare, size: int = 0) -> int:
        """Return how many more deliveries may wait, if there is room for one of this size."""
        bounds, most, unresponsive = self.bounds, self.pace.most_waiting, self.unresponsive
        rows = most - self.responsive.waiting - unresponsive.waiting
        left = bounds.waiting_bytes - self.responsive.waiting_bytes - unresponsive.waiting_bytes
        if share is unresponsive:
            rows = min(rows, max(1, most // 2) - unresponsive.waiting)
            left = min(left, bounds.waiting_bytes // 2 - unresponsive.waiting_bytes)
        return max(0, rows) if left > 0 and size <= left else 0

    def free_attempts(self, share: CapacityShare) -> int:
        """Return how many more attempts may begin."""
        most, unresponsive = self.bounds.in_flight, self.unresponsive.begun
        free = most - self.responsive.begun - unresponsive - self.unwritten - self.claiming
        if share is self.unresponsive:
            free = min(free, max(1, most // 2) - unresponsive)
        return max(0, free)

    def claim_limits(self, queue: WebhookQueue) -> tuple[int, int]:
        """Return how many deliveries a claim may take of a webhook now, and if nothing waited."""
        room, most = self._room(queue, queue.queued)
        if (rate_limit := queue.webhook.rate_limit) is not None:
            waiting = max_waiting(rate_limit)
            room, most = min(room, max(0, waiting - queue.queued)), min(most, waiting)
        return min(room, self.free_places(queue.share)), most

    def begin_limit(self, queue: WebhookQueue) -> int:
        """Return how many more attempts of a webhook may begin."""
        room, _ = self._room(queue, queue.queued - queue.unbegun)
        return min(room, self.free_attempts(queue.share))

    def _room(self, queue: WebhookQueue, taken: int) -> tuple[int, int]:
        """Return how many more of a webhook may be taken beside so many, and beside none.

        One that answers well may have some rounds waiting, so that many are taken together.
        """
        if queue.share is self.responsive and not queue.failing:
            most = _WAITING_PER_SLOT * self.bounds.per_webhook
        else:
            most, taken = queue.limit, taken + queue.in_flight
        return max(0, most - taken), most

    def unresponsive_part(self) -> float:
        """Return which part of what unresponsive webhooks have waiting is within their half."""
        return min(
            1.0,
            self.pace.most_waiting / 2 / max(1, self.unresponsive.waiting),
            self.bounds.waiting_bytes / 2 / max(1, self.unresponsive.waiting_bytes),
        )
