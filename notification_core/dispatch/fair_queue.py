"""Who may send next: deliveries wait in a queue for each webhook, and queues share the capacity.

A delivery that waits is *begun*, so that a kill logs its attempt as interrupted, or *prefetched*:
a kill only releases it, and it is to be begun before it is sent. No more are begun than may be in
flight, those that are included. Three bounds keep webhooks from hurting one another.

* Of each webhook at most ``per_webhook`` requests are in flight, two while its attempts get no
  answer, whether they time out or are refused at once: a dead receiver costs no more than that.
* Of a webhook that was paused by the circuit breaker one request is in flight at first, and twice
  as many after each that is answered: what has waited does not come all at once.
* Responsive webhooks, and those that do not answer (or have not yet), have half of all requests in
  flight each. A queue changes its share together with what it has in flight: once a request of it
  has been out for longer than ``SLOW_AFTER``, and back when it answers.
* What waits in memory is bounded in bytes and, by :class:`Pace`, in rows. Half of it is for
  responsive webhooks; one that fails or is slow may have as much waiting as in flight.

Pure: time is handed in, as seconds of one monotonic clock.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from notification_core.dispatch.capacity import Bounds, Capacity
from notification_core.dispatch.queue_metrics import count_environments, oldest_waiting
from notification_core.dispatch.turns import Turns
from notification_core.dispatch.webhook_queue import (
    InFlightRequest,
    QueuedDelivery,
    WebhookQueue,
)
from notification_core.ingest.plan import Place
from notification_core.model.delivery import ClaimedDelivery, Fence
from notification_core.model.webhook import Webhook

SLOW_AFTER = 1.0
"""Seconds after which a request in flight counts as waiting and no longer as work."""

_SILENT_LIMIT = 2
_BEGUN_AT_ONCE = 4
"""The part of all attempts in flight that begin together, if so many wait."""


class FairQueue:
    """The queues of all webhooks of which this process has deliveries, or had some lately."""

    def __init__(self, bounds: Bounds) -> None:
        self.capacity = Capacity(bounds)
        self._queues: dict[UUID, WebhookQueue] = {}
        self.turns, self._requests = Turns(), deque[InFlightRequest]()
        self._webhooks_revision, self._was_full = 0, False

    # What may come in.

    def claim_limits(self) -> dict[UUID, int]:
        """Return, for each known webhook, how many deliveries a claim may take of it."""
        limits_of = self.capacity.claim_limits
        return {webhook_id: limits_of(queue)[0] for webhook_id, queue in self._queues.items()}

    def new_webhook_limit(self) -> int:
        """Return how many deliveries a claim may take of a webhook that has no queue here."""
        capacity = self.capacity
        return min(capacity.bounds.per_webhook, capacity.free_places(capacity.unresponsive))

    def note_more(self, webhook_id: UUID) -> None:
        """Note that storage has more deliveries of a webhook than a claim was allowed to take."""
        # One that was idle may have been forgotten while storage was asked.
        if queue := self._queues.get(webhook_id):
            queue.has_more = True

    def note_full(self) -> None:
        """Note that a claim was not made because nothing more may wait."""
        self._was_full = True

    def should_claim(self, queue: WebhookQueue) -> bool:
        """Tell, once, that storage has more and half of the room for it is free again."""
        if not (queue.has_more or self._was_full):
            return False
        limit, most = self.capacity.claim_limits(queue)
        has_room = queue.has_more and 2 * limit >= most
        queue.has_more = queue.has_more and not has_room
        is_relieved = self._was_full and 2 * self.capacity.waiting < self.capacity.pace.most_waiting
        self._was_full = self._was_full and not is_relieved
        return has_room or is_relieved

    def reserve(self, webhook: Webhook, webhooks_revision: int, size: int) -> Place | None:
        """Keep a place for a delivery of this size, and return which; None if there is none."""
        queue = self._queues.get(webhook.webhook_id)
        share = self.capacity.unresponsive if queue is None else queue.share
        if not self.capacity.free_places(share, size):
            return None
        is_limited = queue is not None and (queue.failing or queue.slow)
        if queue and is_limited and queue.in_flight + queue.queued >= queue.limit:
            return None
        queue = self._queue_of(webhook, webhooks_revision)
        is_prefetched = queue.unbegun > 0 or not self.capacity.begin_limit(queue)
        queue.count(1, size, is_prefetched)
        return Place.PREFETCHED if is_prefetched else Place.BEGUN

    def unreserve(self, delivery: ClaimedDelivery) -> None:
        """Give the place back that was reserved for a delivery."""
        queue = self._queues[delivery.webhook_id]
        queue.count(-1, -len(delivery.body), -delivery.prefetched)

    def fill(self, queued: QueuedDelivery) -> bool:
        """Let a delivery wait in the place reserved for it; tell if its webhook is current."""
        queue = self._queues[queued.delivery.webhook_id]
        if queued.delivery.prefetched:
            queue.prefetched.append(queued)
            queue.share.prefetching.setdefault(queue)
        else:
            queue.waiting.append(queued)
            queue.share.ready.setdefault(queue)
        return self.is_current(queue)

    def add(self, queued: QueuedDelivery, webhook: Webhook, webhooks_revision: int) -> bool:
        """Let a claimed delivery wait in its webhook's queue; tell if the webhook is current."""
        queue = self._queue_of(webhook, webhooks_revision)
        queue.count(1, len(queued.delivery.body), queued.delivery.prefetched)
        return self.fill(queued)

    def _queue_of(self, webhook: Webhook, webhooks_revision: int) -> WebhookQueue:
        """Return a webhook's queue; a later reading of the webhook counts, not this one."""
        queue = self._queues.get(webhook.webhook_id)
        if queue is None:
            limit, share = self.capacity.bounds.per_webhook, self.capacity.unresponsive
            queue = WebhookQueue(webhook, webhooks_revision, limit, share)
            # Of one that was paused nobody knows how much it takes by now.
            if webhook.resumed_at is not None:
                queue.limit = 1
            self._queues[webhook.webhook_id] = queue
        elif webhooks_revision >= queue.webhooks_revision:
            was_held_back = not self.is_current(queue)
            if webhook.resumed_at != queue.webhook.resumed_at:
                queue.limit = 1
            queue.webhook, queue.webhooks_revision = webhook, webhooks_revision
            if was_held_back:  # what waited may go on
                queue.share.ready.setdefault(queue)
        return queue

    # What may begin.

    @property
    def has_prefetched(self) -> bool:
        """Tell whether something waits that is to be begun."""
        return bool(self.capacity.responsive.prefetching or self.capacity.unresponsive.prefetching)

    def take_prefetched(self) -> list[QueuedDelivery]:
        """Take out what may begin now, alike of all webhooks; their places stay reserved.

        Nothing while few more may begin and some that are begun wait still, so that many begin
        together.
        """
        capacity, responsive = self.capacity, self.capacity.responsive
        free = capacity.free_attempts(responsive)
        if _BEGUN_AT_ONCE * free < capacity.bounds.in_flight and (
            responsive.begun > responsive.in_flight
        ):
            return []
        taken: list[QueuedDelivery] = []
        for share in (responsive, capacity.unresponsive):
            free = capacity.free_attempts(share)
            turns = len(share.prefetching)
            each = -(-free // max(1, turns))
            for _ in range(turns if free else 0):
                queue, _ = share.prefetching.popitem(last=False)
                limit = min(each, capacity.begin_limit(queue), len(queue.prefetched))
                taken += [queue.prefetched.popleft() for _ in range(limit)]
                queue.count(0, 0, -limit)
                free -= limit
                if queue.prefetched:
                    share.prefetching[queue] = None
                if free <= 0:
                    break
        return taken

    def return_prefetched(self, taken: Sequence[QueuedDelivery]) -> None:
        """Let deliveries wait again that were taken out and have not begun after all."""
        for queued in reversed(taken):
            queue = self._queues[queued.delivery.webhook_id]
            queue.count(0, 0, 1)
            queue.prefetched.appendleft(queued)
            queue.share.prefetching.setdefault(queue)

    def begin(self, taken: Sequence[QueuedDelivery]) -> bool:
        """Let deliveries that have begun wait to be sent; tell if all webhooks are current."""
        are_current = True
        for queued in taken:
            queue = self._queues[queued.delivery.webhook_id]
            queue.waiting.append(queued)
            queue.share.ready.setdefault(queue)
            are_current &= self.is_current(queue)
        return are_current

    # What may go out.

    def next(self, now: float) -> tuple[QueuedDelivery, InFlightRequest] | None:
        """Take the next delivery that may be sent, in turn over the webhooks; None for none."""
        capacity, most = self.capacity, self.capacity.bounds.in_flight
        responsive, unresponsive = capacity.responsive, capacity.unresponsive
        if responsive.in_flight + unresponsive.in_flight + capacity.unwritten >= most:
            return None
        if now >= self.turns.next_at:
            self.turns.come(now)
        for share in (responsive, unresponsive):
            while share.ready and share.in_flight < max(1, most // 2):
                queue, _ = share.ready.popitem(last=False)
                # It is ready again once a request ends, or its webhook is read again.
                is_at_limit = queue.in_flight >= queue.limit
                if not queue.waiting or is_at_limit or not self.is_current(queue):
                    continue
                if queue.webhook.rate_limit and not self.turns.take(queue, now):
                    continue
                queued = queue.waiting.popleft()
                queue.count(-1, -len(queued.delivery.body))
                request = InFlightRequest(queue, now, queue.limited_at)
                queue.in_flight += 1
                share.in_flight += 1
                if queue.in_flight >= queue.limit:
                    queue.limited_at = now
                self._requests.append(request)
                queue.share.ready.setdefault(queue)
                return queued, request
        return None

    # What comes back.

    def finish(
        self, request: InFlightRequest, now: float, *, responded: bool, succeeded: bool
    ) -> None:
        """Note that a request is over: whether the receiver answered, and how."""
        queue = request.queue
        if queue.in_flight >= queue.limit:
            queue.limited_at = now
        self.capacity.pace.ended += 1
        queue.responding = responded
        queue.failing = not succeeded
        # Fall at once while nobody answers, in time or at all, and grow by doubling again.
        limit = queue.limit * 2 if responded else _SILENT_LIMIT
        queue.limit = min(limit, self.capacity.bounds.per_webhook)
        queue.touched = now
        self.cancel(request)

    def cancel(self, request: InFlightRequest) -> None:
        """Take a request out of the counts: it has ended, or is not made after all."""
        queue = request.queue
        request.is_finished = True
        queue.in_flight -= 1
        queue.slow -= request.is_slow
        queue.share.in_flight -= 1
        self._move(queue)

    def put_back(self, queued: QueuedDelivery, request: InFlightRequest) -> None:
        """Let a delivery that :meth:`next` gave out wait again, as the first of its queue."""
        request.queue.waiting.appendleft(queued)
        request.queue.count(1, len(queued.delivery.body))
        self.cancel(request)

    def is_current(self, queue: WebhookQueue) -> bool:
        """Tell whether a queue's webhook was read after the latest change that is known."""
        return queue.webhooks_revision >= self._webhooks_revision

    def _move(self, queue: WebhookQueue) -> None:
        """Count a queue in the share that it belongs to now, and let it have its turn there.

        A webhook is responsive once it has answered, while no slow request of it is in flight.
        """
        capacity, is_responsive = self.capacity, queue.responding and not queue.slow
        share = capacity.responsive if is_responsive else capacity.unresponsive
        if share is not queue.share:
            share.enter(queue)
        queue.share.ready.setdefault(queue)

    def age(self, now: float) -> None:
        """Count the requests that have been in flight for long as waiting, not as work."""
        self.capacity.pace.update(now)
        requests = self._requests
        while requests and (requests[0].is_finished or now - requests[0].started >= SLOW_AFTER):
            request = requests.popleft()
            if not request.is_finished:
                request.is_slow = True
                request.queue.slow += 1
                self._move(request.queue)

    # What those who watch want to know.

    def holds_back(self, webhook_id: UUID, since: float) -> bool:
        """Tell whether a webhook has been at its own limit at any time since then."""
        queue = self._queues.get(webhook_id)
        return queue is not None and queue.holds_back(since)

    def oldest_waiting(self, now: float, at: datetime, lease: timedelta) -> timedelta:
        """Return how late what waits here is, of webhooks that do not hold it back."""
        return oldest_waiting(self._queues.values(), now, at, lease)

    def environments(self) -> Counter[bool]:
        """Count the environments that were sent to lately, those apart that nothing reaches now."""
        return count_environments(self._queues.values())

    # What changes meanwhile.

    def on_webhooks_changed(self, revision: int) -> bool:
        """Hold back every queue that was read before this change; tell whether that is news."""
        is_news = revision > self._webhooks_revision
        self._webhooks_revision = max(revision, self._webhooks_revision)
        return is_news

    def stale(self) -> list[UUID]:
        """Return the webhooks to be read again before more of their deliveries are sent.

        Those of requests in flight are among them: if they fail, the webhook says what is next.
        """
        return [
            webhook_id
            for webhook_id, queue in self._queues.items()
            if (queue.waiting or queue.prefetched or queue.in_flight) and not self.is_current(queue)
        ]

    def refresh(
        self, webhook_id: UUID, webhook: Webhook | None, webhooks_revision: int
    ) -> list[QueuedDelivery]:
        """Note a webhook as read at ``webhooks_revision``; return what must not be sent.

        None says that nothing may be sent to it now.
        """
        queue = self._queues.get(webhook_id)
        if queue is None or webhooks_revision < queue.webhooks_revision:
            return []
        if webhook is None:
            # The queue stays held back: what was read before and arrives later is checked again.
            return queue.remove(lambda _: True)
        self._queue_of(webhook, webhooks_revision)
        return []

    def expiring(self, before: float) -> list[QueuedDelivery]:
        """Take out the waiting deliveries whose lease ends before a time."""
        return self._remove_from_all(lambda queued: queued.leased_until < before)

    def fences(self) -> set[Fence]:
        """Return the fences of all that waits."""
        return {
            queued.delivery.fence
            for queue in self._queues.values()
            for queued in (*queue.waiting, *queue.prefetched)
        }

    def drop(self, unwanted: Callable[[Fence], bool]) -> list[QueuedDelivery]:
        """Take out what waits under a fence that is not wanted."""
        return self._remove_from_all(lambda queued: unwanted(queued.delivery.fence))

    def drain(self) -> list[QueuedDelivery]:
        """Take out everything that waits."""
        return self._remove_from_all(lambda _: True)

    def surplus(self) -> list[QueuedDelivery]:
        """Take out what webhooks that fail to answer have waiting beyond their limits.

        Each has its own limit, and all together have half of what may wait.
        """
        removed: list[QueuedDelivery] = []
        # Bodies differ in size: the rows that went may not have been half of the bytes.
        while more := self._surplus():
            removed += more
        return removed

    def excess(self) -> list[QueuedDelivery]:
        """Take out what is prefetched beyond what may wait at the present pace."""
        capacity = self.capacity
        part = capacity.pace.most_waiting / max(1, capacity.waiting)
        if part >= 1:
            return []
        removed = []
        for queue in (*capacity.responsive.prefetching, *capacity.unresponsive.prefetching):
            most = int(part * queue.waiting_count)
            removed += queue.remove_last(max(most, len(queue.waiting)))
        return removed

    def _surplus(self) -> list[QueuedDelivery]:
        part = self.capacity.unresponsive_part()
        removed = []
        for queue in self._queues.values():
            if queue.slow or queue.limit < self.capacity.bounds.per_webhook:
                limit = min(queue.limit, int(part * queue.waiting_count))
                removed += queue.remove_last(limit)
        return removed

    def _remove_from_all(self, unwanted: Callable[[QueuedDelivery], bool]) -> list[QueuedDelivery]:
        queues = self._queues.values()
        return [queued for queue in queues for queued in queue.remove(unwanted)]

    def forget_idle(self, before: float) -> None:
        """Drop the queues that hold nothing and have not been used since a time."""
        idle = [key for key, q in self._queues.items() if q.is_empty and q.touched < before]
        for webhook_id in idle:
            queue = self._queues.pop(webhook_id)
            queue.share.ready.pop(queue, None)
            queue.share.prefetching.pop(queue, None)
