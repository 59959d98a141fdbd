"""Metrics of what a process does beside sending: outbox, replays, erasures, retention, its lock."""

import math
from collections.abc import Callable
from datetime import timedelta

from notification_core.ports.backlog import MAX_COUNTED, BacklogSize
from notification_entrypoints.observability.server_metrics import ServerMetrics

_UNFINISHED = ("outbox", "operational_events", "replays", "erasures")


class MaintenanceMetrics(ServerMetrics):
    """Counts what maintenance does, beside what any server has."""

    def __init__(self, version: str, commit: str, pod: str, *, serves: bool) -> None:
        super().__init__(version, commit, pod, serves=serves)
        self._unfinished = self.registry.gauge(
            "unfinished", "Long work and messages in storage that are not finished.", ["kind"]
        )
        self._unfinished_age = self.registry.gauge(
            "unfinished_age_seconds", "For how long the oldest of these has been there.", ["kind"]
        )
        self._is_exact = self.registry.gauge(
            "deliveries_pending_is_exact", "Whether pending deliveries are counted to their end."
        )
        self.set_unfinished(None)
        self._replayed = self.registry.counter(
            "deliveries_replayed", "Deliveries that replays have made."
        )
        self._erased = self.registry.counter("rows_erased", "Rows that erasures have deleted.")
        self._retention_lag = self.registry.gauge(
            "retention_lag_seconds", "For how long something may have been kept that is too old."
        )
        self._retention_lag.set(math.nan)
        self._lock = self.registry.gauge(
            "worker_lock_held", "Whether the process holds a worker's lock, and so may send."
        )

    def set_unfinished(self, size: BacklogSize | None) -> None:
        """Show what is unfinished in storage, if that is known."""
        most = 0 if size is None else max(size.waiting, size.claimed)
        self._is_exact.set(math.nan if size is None else most < MAX_COUNTED)
        for kind in _UNFINISHED:
            unfinished = None if size is None else getattr(size, kind)
            count = math.nan if unfinished is None else unfinished.count
            age = math.nan if unfinished is None else unfinished.age.total_seconds()
            self._unfinished.labels(kind).set(count)
            self._unfinished_age.labels(kind).set(age)

    def observe_maintenance(
        self, *, holds_lock: Callable[[], bool], retention_lag: Callable[[], timedelta]
    ) -> None:
        """Ask these, whenever the metrics are read."""
        self._lock.set_function(holds_lock)
        self._retention_lag.set_function(lambda: retention_lag().total_seconds())

    def deliveries_replayed(self, count: int) -> None:
        """Count deliveries that a replay has made."""
        self._replayed.inc(count)

    def rows_erased(self, count: int) -> None:
        """Count rows that an erasure has deleted."""
        self._erased.inc(count)
