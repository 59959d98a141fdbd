"""How long things take, as a histogram that costs little to add to.

Two are added to with every attempt, and prometheus_client's own takes a lock for each of its parts,
as a process with threads must.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Timing:
    """Counts durations by the bucket that they fall into; to be told by one thread alone."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def took(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Tell all that was counted."""
        names = map(floatToGoString, (*self._bounds, float("inf")))
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        family.add_metric(labels, buckets, self._seconds)


class Timings(Collector):
    """A metric of one timing, or of one for each value of its label.

    ``labels`` are the names of its labels.
    """

    def __init__(
        self, name: str, meaning: str, bounds: Sequence[float], label: str = "", *values: str
    ) -> None:
        self._name = name
        self._meaning = meaning
        self.labels = [label] if label else []
        self._of = {value: Timing(bounds) for value in values or [""]}

    def __getitem__(self, value: str) -> Timing:
        """Return the timing of a value of the label; that of none is the empty one's."""
        return self._of[value]

    def collect(self) -> Iterator[Metric]:
        """Yield the metric."""
        family = HistogramMetricFamily(self._name, self._meaning, labels=self.labels)
        for value, timing in self._of.items():
            timing.add_to(family, [value] if self.labels else [])
        yield family
