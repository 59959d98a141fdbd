"""The queue of one webhook: claimed deliveries that wait, and how many requests are in flight."""

from collections import OrderedDict, deque
from collections.abc import Callable
from math import inf

from attrs import define, field, frozen

from notification_core.model.delivery import ClaimedDelivery
from notification_core.model.webhook import Webhook


@frozen
class QueuedDelivery:
    """A claimed delivery in this process's hands; ``leased_until`` on the monotonic clock.

    One whose webhook has a rate limit is not sent ``not_before`` its turn.
    """

    delivery: ClaimedDelivery
    leased_until: float
    not_before: float = 0.0


@define(eq=False)
class WebhookQueue:
    """The deliveries of one webhook, and how it has been answering.

    Those in ``waiting`` may be sent, those in ``prefetched`` once their attempts are begun.
    ``queued`` counts both and the places that are reserved, ``unbegun`` what of it is not begun.
    ``share`` is the one that all of it is counted in; ``has_more`` says that storage has more of
    them than a claim could take; ``limited_at`` is when it has last been at its limit.
    ``turn_at`` is when the next request may be made at the earliest if there is a rate limit.
    """

    webhook: Webhook
    webhooks_revision: int
    limit: int
    share: "CapacityShare" = field(repr=False)  # whose repr is that of its queues
    waiting: deque[QueuedDelivery] = field(factory=deque)
    prefetched: deque[QueuedDelivery] = field(factory=deque)
    waiting_bytes: int = 0
    queued: int = 0
    unbegun: int = 0
    in_flight: int = 0
    slow: int = 0
    responding: bool = False
    failing: bool = False
    has_more: bool = False
    touched: float = 0.0
    limited_at: float = -inf
    turn_at: float = -inf
    awaits_turn: bool = False

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing of this webhook is in this process's hands."""
        return not (self.queued or self.in_flight)

    @property
    def waiting_count(self) -> int:
        """How many deliveries wait, those that are only reserved left out."""
        return len(self.waiting) + len(self.prefetched)

    def holds_back(self, since: float) -> bool:
        """Tell whether the webhook has been at its own limit at any time since then."""
        return self.in_flight >= self.limit or self.limited_at >= since

    def count(self, rows: int, size: int, unbegun: int = 0) -> None:
        """Count deliveries that come to wait, or go, and the bytes of their bodies."""
        self.queued += rows
        self.waiting_bytes += size
        self.unbegun += unbegun
        self.share.waiting += rows
        self.share.waiting_bytes += size
        self.share.unbegun += unbegun

    def remove(self, unwanted: Callable[[QueuedDelivery], bool]) -> list[QueuedDelivery]:
        """Take the unwanted deliveries out of those that wait; return them."""
        removed = [queued for queued in self.waiting if unwanted(queued)]
        unbegun = [queued for queued in self.prefetched if unwanted(queued)]
        if removed:
            self.waiting = deque(queued for queued in self.waiting if not unwanted(queued))
        if unbegun:
            self.prefetched = deque(queued for queued in self.prefetched if not unwanted(queued))
        removed += unbegun
        size = sum(len(queued.delivery.body) for queued in removed)
        self.count(-len(removed), -size, -len(unbegun))
        return removed

    def remove_last(self, left: int) -> list[QueuedDelivery]:
        """Take out what came last, what is not begun first, until so many are left."""
        removed = []
        while self.waiting_count > left:
            is_begun = not self.prefetched
            queued = (self.waiting if is_begun else self.prefetched).pop()
            removed.append(queued)
            self.count(-1, -len(queued.delivery.body), is_begun - 1)
        return removed


@define
class CapacityShare:
    """What the responsive webhooks have here together, or the unresponsive, and who is next.

    ``prefetching`` are the queues that have something which is to begin, in turn.
    ``waiting``, ``waiting_bytes`` and ``unbegun`` count reserved places too.
    """

    in_flight: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    unbegun: int = 0
    ready: OrderedDict[WebhookQueue, None] = field(factory=OrderedDict)
    prefetching: OrderedDict[WebhookQueue, None] = field(factory=OrderedDict)

    @property
    def begun(self) -> int:
        """How many attempts are begun and have not ended."""
        return self.in_flight + self.waiting - self.unbegun

    def enter(self, queue: WebhookQueue) -> None:
        """Count all that a queue has, and what it will have, here and no longer elsewhere."""
        queue.share.in_flight -= queue.in_flight
        queue.share.waiting -= queue.queued
        queue.share.waiting_bytes -= queue.waiting_bytes
        queue.share.unbegun -= queue.unbegun
        queue.share.ready.pop(queue, None)
        queue.share.prefetching.pop(queue, None)
        if queue.prefetched:
            self.prefetching[queue] = None
        queue.share = self
        self.in_flight += queue.in_flight
        self.waiting += queue.queued
        self.waiting_bytes += queue.waiting_bytes
        self.unbegun += queue.unbegun


@define(eq=False)
class InFlightRequest:
    """One request in flight; small, since it is remembered until it would count as slow.

    ``limited_at`` is when its webhook had last been at its limit before.
    """

    queue: WebhookQueue
    started: float
    limited_at: float
    is_slow: bool = False
    is_finished: bool = False
