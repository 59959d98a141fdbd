"""What the queues of webhooks tell of whether sending keeps up. Pure, as the queues are."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

from notification_core.concurrency.ids import milliseconds_of
from notification_core.dispatch.webhook_queue import WebhookQueue


def oldest_waiting(
    queues: Iterable[WebhookQueue], now: float, at: datetime, lease: timedelta
) -> timedelta:
    """Return for how long the delivery has waited that has waited longest; zero if none waits.

    A first attempt waits since its delivery was stored, however often that was claimed and released
    meanwhile, a retry since it was claimed. What its webhook holds back does not count: that has a
    rate limit, or has been at its own limit since. ``now`` is on the monotonic clock, ``at`` the
    same moment on the wall clock.
    """
    started_at = at.timestamp() - now  # when the monotonic clock was at zero
    waited = (
        now - since
        for queue in queues
        if queue.webhook.rate_limit is None
        for since in _waiting_since(queue, started_at, lease.total_seconds())
        if not queue.holds_back(since)
    )
    return timedelta(seconds=max(waited, default=0.0))


def _waiting_since(queue: WebhookQueue, started_at: float, lease: float) -> Iterator[float]:
    """Yield since when each delivery of a queue waits, on the monotonic clock."""
    for queued in chain(queue.waiting, queue.prefetched):
        fence = queued.delivery.fence
        if fence.attempt == 1:
            yield milliseconds_of(fence.delivery_id) / 1000 - started_at
        else:
            yield queued.leased_until - lease


def count_environments(queues: Iterable[WebhookQueue]) -> Counter[bool]:
    """Count the environments that were sent to lately, those apart that nothing reaches now.

    An environment is reached (True) while the latest attempt of any of its webhooks succeeded.
    """
    reached = defaultdict[UUID, bool](bool)
    for queue in queues:
        if queue.touched:
            environment_id = queue.webhook.environment_id
            reached[environment_id] |= not queue.failing
    return Counter(reached.values())
