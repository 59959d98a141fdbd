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
    """Return, for each kill, after how many seconds the last of what was cut off was retried.

    Counted from the last kill before that: whoever is killed while recovering starts again. None
    where a kill was not recovered from before the next one, or cut off nothing.
    """
    kills = sorted(history.allowed.kills)
    waited: list[float | None] = [None] * len(kills)
    came = {(one.delivery_id, one.attempt): one.received_at for one in history.seen}
    for attempt in history.stored.attempts:
        again = came.get((attempt.delivery_id, attempt.number + 1))
        if attempt.outcome != "interrupted" or again is None:
            continue
        kill = bisect(kills, again) - 1
        if kill >= 0 and attempt.started_at <= kills[kill]:
            seconds = (again - kills[kill]).total_seconds()
            waited[kill] = max(seconds, waited[kill] or 0)
    return waited
