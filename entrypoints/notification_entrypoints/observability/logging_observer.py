"""The observer of a process: every event is counted, and those that matter are logged."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog

from notification_core.errors import Resource, ResourceShort
from notification_core.model.circuit_breaker import HealthState
from notification_core.model.delivery import AttemptOutcome, ErrorCode
from notification_core.model.event import Source
from notification_core.model.message import DeadLetter
from notification_core.model.webhook import DisabledReason
from notification_entrypoints.observability.event_log import EventLog
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.observability.rate_window import EVENTS, LastMinute

_LOGGER = "notification"
_log = structlog.stdlib.get_logger(_LOGGER)

_INTERVAL_SECONDS = 20.0
"""How often a repeated event is logged at most: an outage must not flood the log."""


class LoggingObserver(Metrics):
    """Metrics that also write a log line where a person would want to know.

    An event that repeats is logged at once, and then once in a while, with ``count``: how often it
    happened since the line before.
    """

    def __init__(
        self, version: str, commit: str, monotonic: Callable[[], float], pod: str = ""
    ) -> None:
        super().__init__(version, commit, pod)
        self.last_minute = LastMinute(monotonic)
        self._monotonic = monotonic
        self._logged_at: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()
        # Asked once: nobody pays for lines that are not written.
        self.follower = (
            EventLog() if logging.getLogger(_LOGGER).isEnabledFor(logging.DEBUG) else None
        )

    def events_ingested(self, source: Source, new: int, duplicates: int) -> None:
        """Count new events for the last minute too."""
        super().events_ingested(source, new, duplicates)
        self.last_minute.add(EVENTS, new)

    def attempt_ended(
        self, outcome: AttemptOutcome, error: ErrorCode | None, duration: timedelta | None
    ) -> None:
        """Count an attempt for the last minute too."""
        super().attempt_ended(outcome, error, duration)
        self.last_minute.add(outcome)

    def event_conflicted(self, environment_id: UUID, event_id: str) -> None:
        """Warn: a producer has used an event id twice."""
        super().event_conflicted(environment_id, event_id)
        if count := self._count_to_log("event_conflicted"):
            _log.warning(
                "event_conflicted",
                environment_id=str(environment_id),
                event_id=event_id,
                count=count,
            )

    def delivery_failed(self, webhook_id: UUID, delivery_id: UUID) -> None:
        """Log a delivery that has failed, and how many have since the one before."""
        super().delivery_failed(webhook_id, delivery_id)
        if count := self._count_to_log("delivery_failed"):
            _log.info(
                "delivery_failed",
                webhook_id=str(webhook_id),
                delivery_id=str(delivery_id),
                count=count,
            )

    def webhook_disabled(self, webhook_id: UUID, reason: DisabledReason) -> None:
        """Log a webhook that the system disabled."""
        super().webhook_disabled(webhook_id, reason)
        _log.warning("webhook_disabled", webhook_id=str(webhook_id), reason=reason.value)

    def webhook_health_changed(self, webhook_id: UUID, state: HealthState) -> None:
        """Log a webhook that the circuit breaker paused or resumed."""
        super().webhook_health_changed(webhook_id, state)
        if state is HealthState.PAUSED:
            _log.warning("webhook_paused", webhook_id=str(webhook_id))
        else:
            _log.info("webhook_resumed", webhook_id=str(webhook_id))

    def leases_reaped(self, count: int) -> None:
        """Log that work of a dead worker goes on here."""
        super().leases_reaped(count)
        if count := self._count_to_log("leases_reaped", count):
            _log.warning("leases_reaped", count=count)

    def resource_exhausted(self, resource: Resource) -> None:
        """Log what ran out, and what to do about it."""
        super().resource_exhausted(resource)
        if count := self._count_to_log(f"{resource} exhausted"):
            remedy = str(ResourceShort(resource))
            _log.error("resource_exhausted", resource=resource.value, message=remedy, count=count)

    def results_fenced(self, count: int) -> None:
        """Log that this process was slower than its lease."""
        super().results_fenced(count)
        if count := self._count_to_log("results_fenced", count):
            _log.warning("results_fenced", count=count)

    def message_dead_lettered(self, dead_letter: DeadLetter) -> None:
        """Warn: what a producer sends cannot be read."""
        super().message_dead_lettered(dead_letter)
        message = dead_letter.message
        if count := self._count_to_log("message_dead_lettered"):
            _log.warning(
                "message_dead_lettered",
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                reason=dead_letter.reason,
                count=count,
            )

    def background_task_failed(self, task: str, error: Exception) -> None:
        """Log an error that a background task survived, but not each time that it comes again."""
        super().background_task_failed(task, error)
        if count := self._count_to_log(f"{task} failed"):
            _log.error(
                "background_task_failed",
                task=task,
                error=type(error).__name__,
                message=str(error),
                count=count,
            )

    def _count_to_log(self, event: str, count: int = 1) -> int:
        """Return how many there were since this was last logged; 0 if that was just now."""
        self._unlogged[event] += count
        now = self._monotonic()
        if now - self._logged_at.get(event, -_INTERVAL_SECONDS) < _INTERVAL_SECONDS:
            return 0
        self._logged_at[event] = now
        return self._unlogged.pop(event)
