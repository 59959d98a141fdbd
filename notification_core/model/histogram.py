"""Logarithmic histograms of durations: a percentile of any number of them, within 5 %.

Bucket 0 holds what took at most 1 ms; each further one reaches 1.1 times as far as the one before,
so that the middle of a bucket is at most 5 % from everything in it. 256 of them reach to a year:
the number of a bucket is one byte. Histograms are merged by adding the counts of equal buckets.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Final

BUCKETS: Final = 256
GROWTH: Final = 1.1
FIRST: Final = timedelta(milliseconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)

BOUNDS: Final = tuple(int(FIRST // _MICROSECOND * GROWTH**number) for number in range(BUCKETS))
"""The longest duration of each bucket, in microseconds; the last bucket has all that are longer."""


def bucket_of(duration: timedelta) -> int:
    """Return the number of the bucket that a duration belongs to; a negative one to the first."""
    return bisect_left(BOUNDS, duration // _MICROSECOND, 0, BUCKETS - 1)


def quantile(counts: Mapping[int, int], fraction: float) -> timedelta | None:
    """Return the duration that this fraction of all does not exceed (the nearest rank).

    ``counts`` has how many there are in each bucket. From 1 ms on the result is at most 5 % from
    the true one; it is 1 ms if that is shorter. None if there are no durations.
    """
    total = sum(counts.values())
    rank = max(1, ceil(fraction * total))
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return _middle_of(bucket)
    return None


def _middle_of(bucket: int) -> timedelta:
    """Return the duration that is as far from both ends of a bucket, in proportion."""
    if bucket == 0:
        return FIRST
    low, high = BOUNDS[bucket - 1], BOUNDS[bucket]
    return timedelta(microseconds=2 * low * high / (low + high))
