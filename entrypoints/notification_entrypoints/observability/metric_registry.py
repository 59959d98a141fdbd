"""The kinds of metrics that are counted here, and their text in Prometheus' format.

Names follow Prometheus' conventions: one prefix, base units (``_seconds``, ``_bytes``), ``_total``
for counters and for nothing else.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from attrs import frozen
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""The media type of what :meth:`MetricRegistry.exposition` returns."""

PREFIX = "notification_"

SHARED_GAUGES = frozenset(
    {
        "notification_build_info",
        "notification_deliveries_pending",
        "notification_deliveries_pending_is_exact",
        "notification_kafka_consumer_lag_messages",
        "notification_oldest_due_delivery_age_seconds",
        "notification_part_unavailable",
        "notification_retention_lag_seconds",
        "notification_unfinished",
        "notification_unfinished_age_seconds",
        "notification_webhooks_paused",
    }
)
"""Gauges of what several processes see alike: they are not to be added up."""

_SHARED = "Read it by max(): processes see the same."

Counts = defaultdict[tuple[str, ...], int]
"""How often each tuple of a counter's labels was counted."""


class LabelledCounter(Collector):
    """A counter: a number for each tuple of its labels' values, added to in ``counts``.

    Several are added to with every event, and prometheus_client's own take a lock each time, as a
    process with threads must: this is to be added to by one thread alone.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.counts: Counts = defaultdict(int)
        self._name = name
        self._documentation = documentation
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """Yield the metric."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self.counts.items():
            family.add_metric(values, count)
        yield family


class Buckets:
    """Counts values by the bucket that they fall into; to be called by one thread alone."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add all that was counted to a metric."""
        names = map(floatToGoString, (*self._bounds, float("inf")))
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        family.add_metric(labels, buckets, self._sum)


Distributions = defaultdict[tuple[str, ...], Buckets]
"""What was observed for each tuple of a histogram's labels."""


class LabelledHistogram(Collector):
    """A histogram: :class:`Buckets` for each tuple of its labels' values, made when asked for.

    Like the counters it takes no lock.
    """

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[float], labels: Sequence[str]
    ) -> None:
        self.distributions: Distributions = defaultdict(lambda: Buckets(bounds))
        self._name = name
        self._documentation = documentation
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """Yield the metric."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, buckets in self.distributions.items():
            buckets.add_to(family, values)
        yield family


@frozen
class MetricDescription:
    """A metric as the reference describes it; ``name`` is that of its series."""

    name: str
    kind: str
    documentation: str
    labels: Sequence[str]


class MetricRegistry(Collector):
    """Makes the metrics of a process, all with one prefix, and exposes them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.descriptions: list[MetricDescription] = []

    def counter(self, name: str, documentation: str) -> Counter:
        """Make a counter without labels; its series ends in ``_total``."""
        described = self._describe(f"{name}_total", "Counter", documentation)
        return Counter(described, documentation, registry=self._registry)

    def counters(self, name: str, documentation: str, labels: Sequence[str]) -> Counts:
        """Make a counter with labels; its series end in ``_total``."""
        described = self._describe(f"{name}_total", "Counter", documentation, labels)
        counter = LabelledCounter(described, documentation, labels)
        self._registry.register(counter)
        return counter.counts

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        """Make a gauge; a value that is not a number is left out of what is exposed."""
        if f"{PREFIX}{name}" in SHARED_GAUGES:
            documentation = f"{documentation} {_SHARED}"
        described = self._describe(name, "Gauge", documentation, labels)
        return Gauge(described, documentation, labels, registry=self._registry)

    def histogram(
        self,
        name: str,
        documentation: str,
        bounds: Sequence[float],
        labels: Sequence[str],
    ) -> Distributions:
        """Make a histogram with labels, which has the series that are asked for."""
        described = self._describe(name, "Histogram", documentation, labels)
        histogram = LabelledHistogram(described, documentation, bounds, labels)
        self._registry.register(histogram)
        return histogram.distributions

    def process(self) -> None:
        """Make the ``process_*`` metrics of this process: CPU, memory, open files, its start."""
        ProcessCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics without unknown values, and without samples ``…_created``.

        When a counter was created is not asked for here, and doubles the number of series.
        """
        for metric in self._registry.collect():
            metric.samples = [
                sample
                for sample in metric.samples
                if not sample.name.endswith("_created") and not math.isnan(sample.value)
            ]
            yield metric

    def _describe(
        self, name: str, kind: str, documentation: str, labels: Sequence[str] = ()
    ) -> str:
        """Note a metric for the reference; return its full name."""
        described = MetricDescription(f"{PREFIX}{name}", kind, documentation, tuple(labels))
        self.descriptions.append(described)
        return described.name
