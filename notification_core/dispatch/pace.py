"""How many deliveries a process may have waiting: what it sends in a given time."""

from collections import deque
from typing import Final

SHARED_SECONDS: Final = 1.0
"""How long what waits here may take to be sent if another worker could send it meanwhile."""

_ALWAYS: Final = 2_000
_REMEMBERED_SECONDS: Final = 5.0


class Pace:
    """Follows how many attempts end, and bounds how many deliveries may wait.

    ``ended`` counts the attempts that have ended since it was last updated. ``most_waiting`` is
    what ends in ``seconds`` at the best pace of the last five seconds, but not more than ``most``,
    nor less than 2,000 (or ``most``). Pure: time is handed in.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.ended = 0
        self._since: float | None = None
        self._paces: deque[tuple[float, float]] = deque()
        self.seconds = SHARED_SECONDS
        self.most_waiting = min(most, _ALWAYS)

    def update(self, now: float) -> None:
        """Note how many have ended since this was last called."""
        if self._since is not None and now > self._since:
            self._paces.append((now, self.ended / (now - self._since)))
        self._since, self.ended = now, 0
        while self._paces and self._paces[0][0] <= now - _REMEMBERED_SECONDS:
            self._paces.popleft()
        best = max((pace for _, pace in self._paces), default=0.0)
        self.most_waiting = min(self._most, max(_ALWAYS, int(best * self.seconds)))
