"""Limits on how often: a rule that needs one number for each that it watches."""

from collections import OrderedDict

MOST_WATCHED = 10_000
"""How many are watched at once; beyond it the one that was quiet for longest is forgotten."""


class RateLimiter:
    """Lets each do something ``burst`` times at once, and then at the rate ``per_second``.

    It is the generic cell rate algorithm: of each it knows only when its allowance will be whole
    again. Times are seconds of one monotonic clock.
    """

    def __init__(self, per_second: float, burst: int, most: int = MOST_WATCHED) -> None:
        self._interval = 1 / per_second
        self._window = burst * self._interval
        self._most = most
        self._whole_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, who: str, now: float) -> float:
        """Return after how many seconds one more is allowed: 0 for now."""
        # In this order: times that cancel each other leave no remainder, however large they are.
        return max(0.0, self._whole_at.get(who, now) - now - (self._window - self._interval))

    def count(self, who: str, now: float) -> None:
        """Count one, whether or not it was allowed; nobody's wait grows beyond one more."""
        whole_at = max(self._whole_at.get(who, now), now) + self._interval
        self._whole_at[who] = min(whole_at, now + self._window + self._interval)
        self._whole_at.move_to_end(who)
        if len(self._whole_at) > self._most:
            self._whole_at.popitem(last=False)
