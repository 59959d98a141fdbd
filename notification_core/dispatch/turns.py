"""When the queues of webhooks with a rate limit may send: each delivery at the time it was granted.

Pure: time is handed in, as seconds of one monotonic clock.
"""

from heapq import heappop, heappush
from math import inf
from typing import Final

from notification_core.dispatch.webhook_queue import WebhookQueue

_TOGETHER: Final = 0.01
"""How late a turn may be and still be taken with the next one at once, in seconds."""


class Turns:
    """The queues that wait for a time, the first one at ``next_at``."""

    def __init__(self) -> None:
        self._awaited: list[tuple[float, int, WebhookQueue]] = []
        self.next_at = inf

    def take(self, queue: WebhookQueue, now: float) -> bool:
        """Tell whether the queue's first delivery may be sent now; if not, have it wait.

        What is late is made up for, but no more than twice as fast as the rate limit says: the
        process that was granted the times behind these sends in them as well.
        """
        at = max(queue.turn_at, queue.waiting[0].not_before)
        if at > now:
            if not queue.awaits_turn:
                queue.awaits_turn = True
                heappush(self._awaited, (at, id(queue), queue))
                self.next_at = self._awaited[0][0]
            return False
        half = 0.5 / (queue.webhook.rate_limit or 1)
        queue.turn_at = max(queue.turn_at, now - _TOGETHER) + half
        return True

    def come(self, now: float) -> None:
        """Make the queues ready again whose time has come."""
        while self._awaited and self._awaited[0][0] <= now:
            _, _, queue = heappop(self._awaited)
            queue.awaits_turn = False
            queue.share.ready.setdefault(queue)
        self.next_at = self._awaited[0][0] if self._awaited else inf
