"""Metrics: what is counted, and the text that Prometheus reads.

No label ever names a webhook or an environment: the number of series stays bounded.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from itertools import product
from uuid import UUID

from notification_core.errors import Resource, StorageUnavailable
from notification_core.model.circuit_breaker import HealthState
from notification_core.model.delivery import AttemptOutcome, DeliveryState, ErrorCode
from notification_core.model.event import Source
from notification_core.model.message import DeadLetter
from notification_core.model.webhook import DisabledReason
from notification_core.ports.backlog import BacklogSize
from notification_core.ports.observer import Observer
from notification_core.ports.sender import Phase
from notification_entrypoints.observability.maintenance_metrics import MaintenanceMetrics
from notification_entrypoints.observability.server_metrics import BUCKETS, FINE_BUCKETS

_DELAY_BUCKETS = (*BUCKETS, 60, 120, 300)
_DELIVERY_BUCKETS = (*_DELAY_BUCKETS, 3_600, 21_600, 86_400)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 20_000)

_BACKLOG_SECONDS = 1.0
"""How long measuring the backlog may take; then the metrics are exposed without it."""

Measure = Callable[[], Awaitable[BacklogSize]]
"""Returns the backlog in storage, raises :class:`StorageUnavailable` if it cannot be measured."""


HoldsBack = Callable[[UUID, timedelta], bool]
"""Tells whether a webhook was at its own bound within this time."""


class Metrics(MaintenanceMetrics, Observer):
    """Counts what happens in this process, in a registry of its own."""

    def __init__(self, version: str, commit: str, pod: str = "", *, serves: bool = True) -> None:
        super().__init__(version, commit, pod, serves=serves)
        self._define_ingest()
        self._define_attempts()
        self._define_deliveries()
        self._define_storage()
        self._task_errors = self.registry.counters(
            "background_task_errors", "Errors that a background task survived.", ["task", "error"]
        )

    def _define_ingest(self) -> None:
        registry = self.registry
        self._events = registry.counters(
            "events", "Events that were published.", ["source", "result"]
        )
        for labels in product(Source, ("accepted", "duplicate", "rejected")):
            self._events[labels] = 0
        self._dead_letters = registry.counter(
            "dead_letters", "Messages that are not events, and were stored as dead letters."
        )
        self._consumer_lag: Callable[[], Mapping[tuple[str, int], int]] = dict
        self._lag = registry.gauge(
            "kafka_consumer_lag_messages",
            "Messages that are not stored yet.",
            ["topic", "partition"],
        )
        self._relayed = registry.counter(
            "outbox_messages_relayed",
            "Operational events and dead letters that were sent to their topics.",
        )
        self._conflicts = registry.counter(
            "event_conflicts", "Events with the id of a stored event and other data."
        )
        self._mismatches = registry.counters(
            "data_schema_mismatches", "Events whose data does not match its schema.", ["event_type"]
        )
        self._stored = registry.counters(
            "deliveries_stored", "Deliveries that were stored.", ["result"]
        )
        for result in ("claimed", "unclaimed", "skipped"):
            self._stored[result,] = 0
        batches = registry.histogram(
            "db_batch_size",
            "How many a transaction took.",
            _BATCH_BUCKETS,
            ["operation"],
        )
        self._ingest_batch = batches["ingest",]
        self._claim_batch = batches["claim",]
        self._results_batch = batches["write_results",]

    def _define_attempts(self) -> None:
        registry = self.registry
        self._attempts = registry.counters(
            "attempts", "Attempts that ended.", ["outcome", "error_code"]
        )
        for error in ErrorCode:
            outcome = "interrupted" if error is ErrorCode.INTERRUPTED else "failed"
            self._attempts[outcome, error] = 0
        self._attempts["succeeded", ""] = 0
        self._duration = registry.histogram(
            "attempt_duration_seconds", "How long attempts took.", BUCKETS, ["outcome"]
        )
        for outcome in ("succeeded", "failed"):
            _ = self._duration[outcome,]
        self._first_attempt = registry.histogram(
            "first_attempt_delay_seconds",
            "From the storing of a delivery to its first attempt, unless its own webhook held it "
            "back.",
            _DELAY_BUCKETS,
            (),
        )[()]
        phases = registry.histogram(
            "attempt_phase_duration_seconds",
            "How long parts of attempts took.",
            FINE_BUCKETS,
            ["phase"],
        )
        self._phases = {phase: phases[phase,] for phase in Phase}
        self._in_flight = registry.gauge("attempts_in_flight", "Attempts that are in flight.")
        self._in_flight_limit = registry.gauge(
            "attempts_in_flight_limit", "How many attempts may be in flight."
        )
        self._environments: Callable[[], Mapping[bool, int]] = dict
        self._attempted = registry.gauge(
            "environments_attempted",
            "Environments of the last ten minutes, by the latest attempts of their webhooks.",
            ["outcome"],
        )
        self._exhausted = registry.counters(
            "resource_exhausted", "Requests not sent because this host lacked it.", ["resource"]
        )
        for resource in Resource:
            self._exhausted[resource,] = 0

    def _define_deliveries(self) -> None:
        registry = self.registry
        self._delivery_time = registry.histogram(
            "delivery_duration_seconds",
            "From the storing of a delivery to the end of the attempt that succeeded.",
            _DELIVERY_BUCKETS,
            (),
        )[()]
        self._queued = registry.gauge(
            "deliveries_queued", "Deliveries that wait in memory for their attempt."
        )
        self._ended = registry.counters("deliveries_ended", "Deliveries that ended.", ["state"])
        for state in DeliveryState:
            if state is not DeliveryState.PENDING:
                self._ended[state,] = 0
        self._failed = registry.counter("deliveries_failed", "Deliveries that failed permanently.")
        self._disabled = registry.counters(
            "webhooks_disabled", "Webhooks that the system disabled.", ["reason"]
        )
        for reason in DisabledReason:
            self._disabled[reason,] = 0
        self._breaker = registry.counters(
            "circuit_breaker_changes",
            "Webhooks that were paused since they kept failing (opened), or resumed (closed).",
            ["change"],
        )
        for change in ("opened", "closed"):
            self._breaker[change,] = 0
        self._paused = registry.gauge(
            "webhooks_paused", "Webhooks that are paused since they kept failing."
        )
        self._reaped = registry.counter(
            "leases_reaped", "Leases taken from workers that died or hung."
        )
        self._released = registry.counter(
            "leases_released", "Leases of deliveries that were released without an attempt."
        )
        self._fenced = registry.counter(
            "results_fenced", "Results that were rejected because the lease had ended."
        )

    def _define_storage(self) -> None:
        registry = self.registry
        self._measure: Measure | None = None
        pending = registry.gauge(
            "deliveries_pending", "Deliveries in storage that have not ended.", ["state"]
        )
        self._unclaimed, self._claimed = pending.labels("unclaimed"), pending.labels("claimed")
        self._holds_back: HoldsBack | None = None
        self._oldest_waiting: Callable[[], timedelta] = timedelta
        self._oldest_due = registry.gauge(
            "oldest_due_delivery_age_seconds",
            "For how long the oldest delivery has been due that its webhook does not hold back.",
        )
        self._forget_backlog()
        self._transactions = registry.gauge("db_transactions_open", "Transactions that are open.")
        self._transactions_limit = registry.gauge(
            "db_transactions_open_limit", "How many transactions may be open."
        )
        self._transaction_time = registry.histogram(
            "db_transaction_duration_seconds",
            "How long a connection to the database was used for a transaction.",
            FINE_BUCKETS,
            (),
        )[()]
        self._connection_wait = registry.histogram(
            "db_connection_wait_seconds",
            "How long a transaction waited for a free connection to the database.",
            FINE_BUCKETS,
            (),
        )[()]

    async def exposed(self) -> bytes:
        """Return all metrics in Prometheus' text format, with the backlog as it is now."""
        if self._measure is not None:
            try:
                async with asyncio.timeout(_BACKLOG_SECONDS):
                    size = await self._measure()
            except (StorageUnavailable, TimeoutError):
                self._forget_backlog()
            else:
                self._unclaimed.set(size.waiting)
                self._claimed.set(size.claimed)
                self._paused.set(size.paused)
                self.set_unfinished(size)
                if (holds_back := self._holds_back) is not None:
                    ages = [
                        age for webhook, age in size.due.items() if not holds_back(webhook, age)
                    ]
                    # What this process has claimed and not sent yet is in nobody else's view.
                    oldest = max([self._oldest_waiting(), *ages])
                    self._oldest_due.set(oldest.total_seconds())
        await self.ask_health()
        return self.rendered()

    def _forget_backlog(self) -> None:
        for gauge in (self._unclaimed, self._claimed, self._oldest_due, self._paused):
            gauge.set(math.nan)
        self.set_unfinished(None)

    def rendered(self) -> bytes:
        """Return all metrics in Prometheus' text format, with the backlog as it was last."""
        self.count_log_lines()
        environments = self._environments()
        for outcome, is_reached in (("succeeded", True), ("failed", False)):
            self._attempted.labels(outcome).set(environments.get(is_reached, 0))
        self._lag.clear()  # partitions come and go
        for (topic, partition), messages in self._consumer_lag().items():
            self._lag.labels(topic, str(partition)).set(messages)
        return self.registry.exposition()

    def observe_lag(self, lag: Callable[[], Mapping[tuple[str, int], int]]) -> None:
        """Ask this, whenever the metrics are read, how far behind each partition is."""
        self._consumer_lag = lag

    def observe_dispatcher(
        self,
        *,
        in_flight: Callable[[], int],
        queued: Callable[[], int],
        limit: int,
        oldest_waiting: Callable[[], timedelta] = timedelta,
    ) -> None:
        """Ask these, whenever the metrics are read, for what the dispatcher has in memory."""
        self._oldest_waiting = oldest_waiting
        self._in_flight.set_function(in_flight)
        self._queued.set_function(queued)
        self._in_flight_limit.set(limit)

    def observe_webhooks(
        self, environments: Callable[[], Mapping[bool, int]], holds_back: HoldsBack
    ) -> None:
        """Ask these, whenever the metrics are read, how webhooks do and which are at their bound.

        Without a dispatcher a process cannot tell, and does not show the oldest delivery.
        """
        self._environments, self._holds_back = environments, holds_back

    def observe_storage(self, measure: Measure) -> None:
        """Ask this, whenever the metrics are read, how large the backlog is."""
        self._measure = measure

    def observe_transactions(self, count: Callable[[], int], limit: int) -> None:
        """Ask this, whenever the metrics are read, how many transactions are open."""
        self._transactions.set_function(count)
        self._transactions_limit.set(limit)

    def transaction_ended(self, wait: float, duration: float) -> None:
        """Count for how many seconds a transaction waited for a connection, and used it then."""
        self._connection_wait.observe(wait)
        self._transaction_time.observe(duration)

    def events_ingested(self, source: Source, new: int, duplicates: int) -> None:
        """Count the events of a batch that was committed."""
        self._events[source, "accepted"] += new
        self._events[source, "duplicate"] += duplicates
        self._ingest_batch.observe(new + duplicates)

    def message_dead_lettered(self, dead_letter: DeadLetter) -> None:  # noqa: ARG002 - a label would be unbounded
        """Count a message that is stored as a dead letter."""
        self._dead_letters.inc()
        self._events[Source.KAFKA, "rejected"] += 1

    def events_rejected(self, count: int) -> None:
        """Count events that the API rejected."""
        self._events[Source.HTTP, "rejected"] += count

    def event_conflicted(self, environment_id: UUID, event_id: str) -> None:  # noqa: ARG002 - a label would be unbounded
        """Count an event with the id of a stored event and other data."""
        self._conflicts.inc()

    def data_schema_mismatched(self, event_type: str) -> None:
        """Count an event of the catalogue whose data does not match its schema."""
        self._mismatches[event_type,] += 1

    def deliveries_stored(self, claimed: int, unclaimed: int, skipped: int) -> None:
        """Count the deliveries of a batch that was committed."""
        self._stored["claimed",] += claimed
        self._stored["unclaimed",] += unclaimed
        self._stored["skipped",] += skipped
        self._ended[DeliveryState.SKIPPED,] += skipped

    def deliveries_claimed(self, count: int) -> None:
        """Count a claim by its size."""
        self._claim_batch.observe(count)

    def results_written(self, count: int) -> None:
        """Count a transaction by how many results it wrote."""
        self._results_batch.observe(count)

    def phase_finished(self, phase: Phase, seconds: float) -> None:
        """Count how long a phase of an attempt took."""
        self._phases[phase].observe(seconds)

    def first_attempt_started(self, delay: float) -> None:
        """Count how long a delivery had waited, in seconds."""
        self._first_attempt.observe(delay)

    def attempt_ended(
        self, outcome: AttemptOutcome, error: ErrorCode | None, duration: timedelta | None
    ) -> None:
        """Count an attempt, and how long it took if that is known."""
        self._attempts[outcome, error or ""] += 1
        if duration is not None:
            self._duration[outcome,].observe(duration.total_seconds())

    def delivery_succeeded(self, seconds: float) -> None:
        """Count a delivery that succeeded, and how long it took from being stored."""
        self._ended[DeliveryState.SUCCEEDED,] += 1
        self._delivery_time.observe(seconds)

    def delivery_failed(self, webhook_id: UUID, delivery_id: UUID) -> None:  # noqa: ARG002 - a label would be unbounded
        """Count a delivery that has failed permanently."""
        self._failed.inc()
        self._ended[DeliveryState.FAILED,] += 1

    def deliveries_given_up(self, skipped: int, cancelled: int) -> None:
        """Count waiting deliveries that ended without an attempt."""
        self._ended[DeliveryState.SKIPPED,] += skipped
        self._ended[DeliveryState.CANCELLED,] += cancelled

    def webhook_disabled(self, webhook_id: UUID, reason: DisabledReason) -> None:  # noqa: ARG002 - a label would be unbounded
        """Count a webhook that the system disabled."""
        self._disabled[reason,] += 1

    def webhook_health_changed(self, webhook_id: UUID, state: HealthState) -> None:  # noqa: ARG002 - the same
        """Count a webhook that the circuit breaker paused or resumed."""
        self._breaker["opened" if state is HealthState.PAUSED else "closed",] += 1

    def leases_reaped(self, count: int) -> None:
        """Count leases that were taken from dead workers or had run out."""
        self._reaped.inc(count)

    def leases_released(self, count: int) -> None:
        """Count claimed deliveries that were released without an attempt."""
        self._released.inc(count)

    def resource_exhausted(self, resource: Resource) -> None:
        """Count a request that was not sent because this host lacked something for it."""
        self._exhausted[resource,] += 1

    def results_fenced(self, count: int) -> None:
        """Count results that came after another worker had taken over."""
        self._fenced.inc(count)

    def messages_relayed(self, count: int) -> None:
        """Count messages that were sent from the outbox to their topics."""
        self._relayed.inc(count)

    def background_task_failed(self, task: str, error: Exception) -> None:
        """Count an error that a background task survived, by the error's class."""
        self._task_errors[task, type(error).__name__] += 1
