"""A webhook's rate limit: when its requests may be made, over all processes together.

A limit of so many requests per second is a row of points in time, as far apart as the limit says.
Storage keeps the first one that is free; a claim takes the next ones, and with each a delivery. So
waiting costs nothing, and what is sent in an average second follows from one number.

A process that takes points and is killed has used them: the requests may have been made.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, Self

from attrs import evolve, frozen

from notification_core.errors import Detail

MAX_RATE_LIMIT: Final = 1000
"""The highest limit, in requests per second."""

BATCH: Final = timedelta(milliseconds=250)
"""A claim takes the points of this time at most, or one."""

LEAD: Final = timedelta(milliseconds=125)
"""How long before its first point a batch may be claimed, so that no point passes meanwhile."""

GRACE: Final = timedelta(milliseconds=250)
"""How late a claim may be and still get the points that have passed: those of a longer time are
lost, so that a webhook that was idle gets no burst."""

RETRY: Final = timedelta(milliseconds=60)
"""How long a claim waits for another one that takes from the same webhook at this moment."""

# No batch ends later than this after the claim that took it.
_LATEST: Final = LEAD + max(BATCH, timedelta(seconds=1))


def rate_limit_errors(rate_limit: int | None) -> Iterator[Detail]:
    """Yield what is wrong with a limit that is to be set."""
    if rate_limit is not None and not 1 <= rate_limit <= MAX_RATE_LIMIT:
        problem = f"The limit is not within 1 to {MAX_RATE_LIMIT} requests per second."
        yield Detail("rate_limit", problem)


@frozen
class RateGrant:
    """What a claim may take: ``count`` deliveries from ``starts_at`` on, ``spacing`` apart."""

    granted_at: datetime
    starts_at: datetime
    spacing: timedelta
    count: int

    @property
    def next_at(self) -> datetime:
        """The first point in time that is free after these."""
        return self.starts_at + self.count * self.spacing

    def delay_of(self, number: int) -> timedelta:
        """Return how long after the claim the request of this number, from 0, may be made."""
        return self.starts_at - self.granted_at + number * self.spacing

    def cut(self, count: int) -> Self:
        """Return the grant of the first ones alone: the others stay free."""
        return evolve(self, count=min(count, self.count))


def grant(next_at: datetime | None, rate_limit: int, now: datetime, wanted: int) -> RateGrant:
    """Return what a claim may take of a webhook of which ``next_at`` is the first free point.

    There is none if nothing was ever claimed of it. Points that have passed are granted to a claim
    that is a little late, and to no other.
    """
    starts_at = _first_free(next_at, now)
    spacing = timedelta(microseconds=-(-1_000_000 // rate_limit))
    count = 0 if starts_at > now + LEAD else min(wanted, batch_size(rate_limit))
    return RateGrant(now, starts_at, spacing, count)


def nothing_granted(now: datetime) -> RateGrant:
    """Return the grant of nothing, for a webhook that another claim takes from at this moment."""
    return RateGrant(now, now + LEAD + RETRY, timedelta(0), 0)


def opens_again_at(granted: RateGrant, taken: int) -> datetime | None:
    """Return when a claim may take more, after one that took so many; None if it left something.

    Then it was not the rate that kept it from taking more, or there was no more.
    """
    return granted.cut(taken).next_at - LEAD if taken >= granted.count else None


def opens_at(next_at: datetime | None, now: datetime) -> datetime:
    """Return when a claim may take something of a webhook again."""
    return _first_free(next_at, now) - LEAD


def batch_size(rate_limit: int) -> int:
    """Return how many deliveries a claim takes at most."""
    return max(1, rate_limit * BATCH // timedelta(seconds=1))


def max_waiting(rate_limit: int) -> int:
    """Return how many deliveries a process may have waiting for their points in time."""
    return batch_size(rate_limit) + -(-rate_limit * LEAD // timedelta(seconds=1))


def _first_free(next_at: datetime | None, now: datetime) -> datetime:
    # What is later than any claim leaves it was written by a clock that has been set back since.
    return next_at if next_at is not None and now - GRACE <= next_at <= now + _LATEST else now
