"""What an experiment came to, in numbers."""

from bisect import bisect
from collections.abc import Sequence

from attrs import frozen

from tests.faults.history import History, Seen
from tests.faults.rules import interruptions


@frozen
class Figures:
    """What a run came to."""

    acknowledged: int
    delivered: int
    doubled: int
    interruptions: int
    recovery: float | None = None


def figures_of(history: History) -> Figures:
    """Count what a history comes to; the slowest recovery counts."""
    waited = [seconds for seconds in recoveries(history) if seconds is not None]
    return Figures(
        acknowledged=sum(one.acknowledged for one in history.published),
        delivered=sum(one.state == "succeeded" for one in history.stored.deliveries),
        doubled=_doubled(history.seen),
        interruptions=interruptions(history.stored.attempts),
        recovery=max(waited, default=None),
    )


def _doubled(seen: Sequence[Seen]) -> int:
    """Count the requests that were taken by a receiver that had taken the delivery before."""
    taken = [one.delivery_id for one in seen if one.answered and one.answered // 100 == 2]
    return len(taken) - len(set(taken))


def recoveries(history: History) -> Sequence[float | None]:
    """Return, for each kill, after how many seconds the last that it cut off was tried again.

    None where it cut off nothing.
    """
    kills = sorted(history.allowed.kills)
    waited: list[float | None] = [None] * len(kills)
    came = {(one.delivery_id, one.attempt): one.received_at for one in history.seen}
    for attempt in history.stored.attempts:
        kill = bisect(kills, attempt.started_at)
        again = came.get((attempt.delivery_id, attempt.number + 1))
        if attempt.outcome == "interrupted" and again is not None and kill < len(kills):
            seconds = (again - kills[kill]).total_seconds()
            waited[kill] = max(seconds, waited[kill] or 0)
    return waited
