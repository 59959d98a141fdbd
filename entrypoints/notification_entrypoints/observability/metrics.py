"""Metrics: what is counted, and the text that Prometheus reads.

No label ever names a webhook or an environment: the number of series stays bounded.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import product
from uuid import UUID

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.registry import Collector

from notification_core.errors import Resource, StorageUnavailable
from notification_core.model.delivery import AttemptOutcome, ErrorCode
from notification_core.model.event import Source
from notification_core.model.message import DeadLetter
from notification_core.model.webhook import DisabledReason
from notification_core.ports.backlog import BacklogSize
from notification_core.ports.observer import Observer
from notification_core.ports.sender import Phase
from notification_entrypoints.observability.log_output import LogOutput
from notification_entrypoints.observability.timings import Timings

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""The media type of what :meth:`Metrics.rendered` returns."""

SEEN_BY_ALL = frozenset(
    {
        "notification_build_info",
        "notification_ingest_lag",
        "notification_deliveries_pending",
        "notification_oldest_due_seconds",
    }
)
"""Gauges of what several processes see alike: they are not to be added up."""

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PHASE_BUCKETS = (0.001, 0.0025, *_BUCKETS)
_WAIT_BUCKETS = (*_BUCKETS, 60, 120, 300)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 20_000)

_BACKLOG_SECONDS = 1.0
"""How long the storage may take to say what waits; then nothing is said of it."""

Measure = Callable[[], Awaitable[BacklogSize]]
"""Returns how much waits in storage, raises :class:`StorageUnavailable` where it cannot tell."""


HoldsBack = Callable[[UUID, timedelta], bool]
"""Tells whether a webhook was at its own bound within this time."""


def _oldest(size: BacklogSize, holds_back: HoldsBack) -> float:
    ages = (age for webhook_id, age in size.due.items() if not holds_back(webhook_id, age))
    return max(ages, default=timedelta()).total_seconds()


class _Children(dict[tuple[str, ...], Counter]):
    """The children of a counter, each bound when its labels are first seen."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __missing__(self, labels: tuple[str, ...]) -> Counter:
        child = self[labels] = self._counter.labels(*labels)
        return child


class _Told(Collector):
    """A registry without what is not known, and without its ``…_created`` samples.

    The names of those tell of something else here.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [
                each
                for each in metric.samples
                if not each.name.endswith("_created") and not math.isnan(each.value)
            ]
            yield metric


class Metrics(Observer):
    """Counts what happens in this process, in a registry of its own."""

    def __init__(self, version: str, commit: str, pod: str = "", *, serves: bool = True) -> None:
        self._registry = CollectorRegistry()
        self._count_ingest()
        self._count_dispatch()
        self._show_storage()
        self._requests = self._counters("api_requests", "Requests to the API.", ["route", "status"])
        self._loop_errors = self._counters(
            "loop_errors", "Errors that a loop survived.", ["loop", "error"]
        )
        self._log: LogOutput | None = None
        self._log_lines = self._counter(
            "log_lines_dropped", "Lines that could not be written to the log."
        )
        self._lines_counted = 0
        build = self._gauge(
            "build_info", "What is running; always 1.", ["version", "commit", "pod"]
        )
        build.labels(version, commit, pod).set(1)
        self._gauge("processes", "Processes that serve.").set(int(serves))
        self._restarts = self._counter(
            "worker_restarts", "Workers that ended by themselves, and were started again."
        )

    def _count_ingest(self) -> None:
        self._events = self._counters("events", "Events that came in.", ["source", "result"])
        for counted in product(Source, ("accepted", "duplicate", "refused")):
            self._events[counted].inc(0)
        self._dead_letters = self._counter(
            "dead_letters", "Messages that were no events, and are kept as dead letters."
        )
        self._behind: Callable[[], Mapping[tuple[str, int], int]] = dict
        self._lag = self._gauge(
            "ingest_lag", "Messages that are not stored yet.", ["topic", "partition"]
        )
        self._relayed = self._counter(
            "messages_relayed", "Facts and dead letters that were sent to their topics."
        )
        self._conflicts = self._counter(
            "event_conflicts", "Known event ids that came again with other data."
        )
        self._mismatches = self._counters(
            "data_schema_mismatches", "Events whose data does not match its schema.", ["event_type"]
        )
        deliveries = self._counter("deliveries", "Deliveries that were stored.", ["how"])
        self._handed_over = deliveries.labels("handed_over")
        self._due = deliveries.labels("due")
        self._skipped = deliveries.labels("skipped")
        batches = self._histogram(
            "batch_size", "How many a transaction took.", _BATCH_BUCKETS, ["step"]
        )
        self._ingested = batches.labels("ingest")
        self._claimed = batches.labels("claim")
        self._written = batches.labels("results")

    def _count_dispatch(self) -> None:
        self._attempts = self._counters(
            "attempts", "Attempts that ended.", ["outcome", "error_code"]
        )
        self._duration = self._timings(
            "attempt_duration_seconds", "How long attempts took.", _BUCKETS
        )[""]
        self._first_attempt = self._timings(
            "first_attempt_seconds",
            "From the storing of a delivery to its first attempt, unless its own webhook held it "
            "back.",
            _WAIT_BUCKETS,
        )[""]
        phases = self._timings(
            *("attempt_phase_seconds", "How long parts of attempts took.", _PHASE_BUCKETS),
            *("phase", *Phase),
        )
        self._phases = {phase: phases[phase] for phase in Phase}
        self._in_flight = self._gauge("in_flight", "Attempts that are being made.")
        self._most_in_flight = self._gauge("in_flight_limit", "As many as may be made at once.")
        self._environments: Callable[[], Mapping[bool, int]] = dict
        self._sent_to = self._gauge(
            "environments_sent_to",
            "Environments of the last ten minutes, by the latest attempts of their webhooks.",
            ["result"],
        )
        self._waiting = self._gauge("waiting", "Deliveries that wait in memory for their attempt.")
        self._failed = self._counter("deliveries_failed", "Deliveries that failed for good.")
        self._disabled = self._counters(
            "webhooks_disabled", "Webhooks that the system disabled.", ["reason"]
        )
        self._reaped = self._counter("leases_reaped", "Leases taken from dead or hung workers.")
        self._given_back = self._counter("leases_given_back", "Attempts given back unsent.")
        self._short = self._counters(
            "resource_short", "Requests not sent because this machine lacked it.", ["resource"]
        )
        for resource in Resource:
            self._short[resource,].inc(0)
        self._fenced = self._counter("results_fenced", "Results that came too late to count.")

    def _show_storage(self) -> None:
        self._measure: Measure | None = None
        pending = self._gauge(
            "deliveries_pending", "Deliveries that have not come to their end.", ["state"]
        )
        self._pending, self._begun = pending.labels("waiting"), pending.labels("begun")
        self._holds_back: HoldsBack | None = None
        self._oldest_due = self._gauge(
            "oldest_due_seconds",
            "For how long the oldest delivery has been due that its webhook does not hold back.",
        )
        self._waiting_is_unknown()
        self._transactions = self._gauge("db_transactions", "Transactions that are open.")
        self._most_transactions = self._gauge(
            "db_transactions_limit", "As many as may be open at once."
        )

    def _counter(self, name: str, meaning: str, labels: list[str] | None = None) -> Counter:
        return Counter(f"notification_{name}", meaning, labels or [], registry=self._registry)

    def _counters(self, name: str, meaning: str, labels: list[str]) -> _Children:
        return _Children(self._counter(name, meaning, labels))

    def _gauge(self, name: str, meaning: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(f"notification_{name}", meaning, labels or [], registry=self._registry)

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...], labels: list[str]
    ) -> Histogram:
        return Histogram(
            f"notification_{name}", meaning, labels, buckets=buckets, registry=self._registry
        )

    def _timings(self, name: str, meaning: str, bounds: Sequence[float], *labelled: str) -> Timings:
        timings = Timings(f"notification_{name}", meaning, bounds, *labelled)
        self._registry.register(timings)
        return timings

    async def exposed(self) -> bytes:
        """Return all metrics in Prometheus' text format, what waits in storage among them."""
        await self._look_at_storage()
        return self.rendered()

    async def _look_at_storage(self) -> None:
        if self._measure is None:
            return
        try:
            async with asyncio.timeout(_BACKLOG_SECONDS):
                size = await self._measure()
        except (StorageUnavailable, TimeoutError):
            self._waiting_is_unknown()
            return
        self._pending.set(size.waiting)
        self._begun.set(size.begun)
        if self._holds_back is not None:
            self._oldest_due.set(_oldest(size, self._holds_back))

    def _waiting_is_unknown(self) -> None:
        for each in (self._pending, self._begun, self._oldest_due):
            each.set(math.nan)

    def rendered(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self._count_log_lines()
        counted = self._environments()
        for result, is_reached in (("succeeded", True), ("failed", False)):
            self._sent_to.labels(result).set(counted.get(is_reached, 0))
        self._lag.clear()  # partitions come and go
        for (topic, partition), behind in self._behind().items():
            self._lag.labels(topic, str(partition)).set(behind)
        return generate_latest(_Told(self._registry))

    def _count_log_lines(self) -> None:
        dropped = self._log.dropped if self._log else 0
        self._log_lines.inc(dropped - self._lines_counted)
        self._lines_counted = dropped

    def watch_log(self, log: LogOutput) -> None:
        """Ask this, whenever the metrics are read, how many lines could not be written."""
        self._log = log

    def watch_lag(self, lag: Callable[[], Mapping[tuple[str, int], int]]) -> None:
        """Ask this, whenever the metrics are read, how far behind each partition is."""
        self._behind = lag

    def watch_sending(
        self, *, in_flight: Callable[[], int], waiting: Callable[[], int], limit: int
    ) -> None:
        """Ask these, whenever the metrics are read, for what the dispatcher has in hand."""
        self._in_flight.set_function(in_flight)
        self._waiting.set_function(waiting)
        self._most_in_flight.set(limit)

    def watch_webhooks(
        self, environments: Callable[[], Mapping[bool, int]], holds_back: HoldsBack
    ) -> None:
        """Ask these, whenever the metrics are read, how webhooks do and which are at their bound.

        A process without a dispatcher does not know, and says nothing of the oldest delivery.
        """
        self._environments, self._holds_back = environments, holds_back

    def watch_storage(self, measure: Measure) -> None:
        """Ask this, whenever the metrics are read, how much waits."""
        self._measure = measure

    def watch_transactions(self, count: Callable[[], int], limit: int) -> None:
        """Ask this, whenever the metrics are read, how many transactions are open."""
        self._transactions.set_function(count)
        self._most_transactions.set(limit)

    def events_ingested(self, source: Source, new: int, duplicates: int) -> None:
        """Count the events of a batch that was committed."""
        self._events[source, "accepted"].inc(new)
        self._events[source, "duplicate"].inc(duplicates)
        self._ingested.observe(new + duplicates)

    def dead_lettered(self, dead_letter: DeadLetter) -> None:  # noqa: ARG002 - a label would be unbounded
        """Count a message that is kept as a dead letter."""
        self._dead_letters.inc()
        self._events[Source.KAFKA, "refused"].inc()

    def events_refused(self, count: int) -> None:
        """Count events that a caller was told are wrong."""
        self._events[Source.HTTP, "refused"].inc(count)

    def event_conflicted(self, environment_id: UUID, event_id: str) -> None:  # noqa: ARG002 - a label would be unbounded
        """Count a known event id that came again with other data."""
        self._conflicts.inc()

    def data_schema_mismatched(self, event_type: str) -> None:
        """Count an event of the catalogue whose data does not match its schema."""
        self._mismatches[event_type,].inc()

    def deliveries_stored(self, handed_over: int, due: int, skipped: int) -> None:
        """Count the deliveries of a batch that was committed."""
        self._handed_over.inc(handed_over)
        self._due.inc(due)
        self._skipped.inc(skipped)

    def deliveries_claimed(self, count: int) -> None:
        """Tell the size of a claim."""
        self._claimed.observe(count)

    def results_written(self, count: int) -> None:
        """Tell how many results went into a transaction."""
        self._written.observe(count)

    def phase_took(self, phase: Phase, seconds: float) -> None:
        """Tell how long a phase of an attempt took."""
        self._phases[phase].took(seconds)

    def first_attempt_began(self, after: float) -> None:
        """Tell how long a delivery had waited."""
        self._first_attempt.took(after)

    def attempt_ended(
        self, outcome: AttemptOutcome, error: ErrorCode | None, duration: timedelta | None
    ) -> None:
        """Count an attempt, and how long it took where that is known."""
        self._attempts[outcome, error or ""].inc()
        if duration is not None:
            self._duration.took(duration.total_seconds())

    def delivery_failed(self, webhook_id: UUID, delivery_id: UUID) -> None:  # noqa: ARG002 - a label would be unbounded
        """Count a delivery whose retries are used up."""
        self._failed.inc()

    def webhook_disabled(self, webhook_id: UUID, reason: DisabledReason) -> None:  # noqa: ARG002 - a label would be unbounded
        """Count a webhook that the system disabled."""
        self._disabled[reason,].inc()

    def leases_reaped(self, count: int) -> None:
        """Count leases that were taken from dead workers or had run out."""
        self._reaped.inc(count)

    def leases_given_back(self, count: int) -> None:
        """Count attempts that were begun and, unsent, given back."""
        self._given_back.inc(count)

    def resource_short(self, resource: Resource) -> None:
        """Count a request that was not sent for want of something on this machine."""
        self._short[resource,].inc()

    def results_fenced(self, count: int) -> None:
        """Count results that came after another worker had taken over."""
        self._fenced.inc(count)

    def messages_relayed(self, count: int) -> None:
        """Count messages that went from the outbox to their topics."""
        self._relayed.inc(count)

    def worker_ended(self) -> None:
        """Count a worker that has ended although nobody told it to."""
        self._restarts.inc()

    def loop_failed(self, loop: str, error: Exception) -> None:
        """Count an error that a loop survived, by the error's class."""
        self._loop_errors[loop, type(error).__name__].inc()

    def api_request_ended(self, route: str, status: int) -> None:
        """Count a request; ``route`` is the template of its path, never the path itself."""
        self._requests[route, str(status)].inc()
