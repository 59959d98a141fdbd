"""What is told to those who watch: every happening is counted, and the ones that matter logged."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog

from notification_core.deliveries import ErrorCode, Outcome
from notification_core.events import Source
from notification_core.incoming import DeadLetter
from notification_core.webhooks import DisabledReason
from notification_entrypoints.last_minute import EVENTS, LastMinute
from notification_entrypoints.metrics import Metrics

_log = structlog.stdlib.get_logger("notification")

_SAME_ERROR_SECONDS = 10.0
"""What keeps failing says so once in this time: an outage must not flood the log."""


class Watch(Metrics):
    """Metrics that also write a log line where a person would want to know."""

    def __init__(self, version: str, commit: str, monotonic: Callable[[], float]) -> None:
        super().__init__(version, commit)
        self.last_minute = LastMinute(monotonic)
        self._monotonic = monotonic
        self._told: dict[str, float] = {}

    def events_ingested(self, source: Source, new: int, duplicates: int) -> None:
        """Count new events for the last minute too."""
        super().events_ingested(source, new, duplicates)
        self.last_minute.add(EVENTS, new)

    def attempt_ended(
        self, outcome: Outcome, error: ErrorCode | None, duration: timedelta | None
    ) -> None:
        """Count an attempt for the last minute too."""
        super().attempt_ended(outcome, error, duration)
        self.last_minute.add(outcome)

    def event_conflicted(self, environment_id: UUID, event_id: str) -> None:
        """Warn: a producer has used an event id twice."""
        super().event_conflicted(environment_id, event_id)
        _log.warning("event_conflicted", environment_id=str(environment_id), event_id=event_id)

    def delivery_failed(self, webhook_id: UUID, delivery_id: UUID) -> None:
        """Log a delivery that has failed for good."""
        super().delivery_failed(webhook_id, delivery_id)
        _log.info("delivery_failed", webhook_id=str(webhook_id), delivery_id=str(delivery_id))

    def webhook_disabled(self, webhook_id: UUID, reason: DisabledReason) -> None:
        """Log a webhook that the system disabled."""
        super().webhook_disabled(webhook_id, reason)
        _log.warning("webhook_disabled", webhook_id=str(webhook_id), reason=reason.value)

    def leases_reaped(self, count: int) -> None:
        """Log that work of a dead worker goes on here."""
        super().leases_reaped(count)
        _log.warning("leases_reaped", count=count)

    def results_fenced(self, count: int) -> None:
        """Log that this process was slower than its lease."""
        super().results_fenced(count)
        _log.warning("results_fenced", count=count)

    def dead_lettered(self, dead_letter: DeadLetter) -> None:
        """Warn: what a producer sends cannot be read."""
        super().dead_lettered(dead_letter)
        message = dead_letter.message
        if self._is_due("dead_lettered"):
            _log.warning(
                "dead_lettered",
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                reason=dead_letter.reason,
            )

    def loop_failed(self, loop: str, error: Exception) -> None:
        """Log an error that a loop survived, but not each time that it comes again."""
        super().loop_failed(loop, error)
        if self._is_due(loop):
            _log.error("loop_failed", loop=loop, error=type(error).__name__, message=str(error))

    def _is_due(self, what: str) -> bool:
        """Tell whether this is to be said again by now."""
        now = self._monotonic()
        if now - self._told.get(what, -_SAME_ERROR_SECONDS) < _SAME_ERROR_SECONDS:
            return False
        self._told[what] = now
        return True
