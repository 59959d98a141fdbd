"""Following events: a line for each step of each event, for where ``DEBUG`` is set.

Every line names the ``event_id``, so that one event can be found in the logs of all processes that
have to do with it.
"""

import structlog

from notification_core.model.delivery import Attempt, AttemptResult, ClaimedDelivery
from notification_core.model.event import Arrival, Event, Source
from notification_core.model.trace_context import trace_id_of
from notification_core.ports.observer import EventFollower

_log = structlog.stdlib.get_logger("notification")


class EventLog(EventFollower):
    """Logs each step of each event."""

    def event_received(self, source: Source, event: Event) -> None:
        """Log an event that is to be stored."""
        _log.debug(
            "event_received",
            event_id=event.event_id,
            environment_id=str(event.environment_id),
            event_type=event.type,
            source=source.value,
            trace_id=_trace_id(event.traceparent),
        )

    def event_stored(self, event: Event, arrival: Arrival, deliveries: int) -> None:
        """Log an event that was committed."""
        _log.debug(
            "event_stored",
            event_id=event.event_id,
            environment_id=str(event.environment_id),
            arrival=arrival.value,
            deliveries=deliveries,
            trace_id=_trace_id(event.traceparent),
        )

    def delivery_claimed(self, delivery: ClaimedDelivery) -> None:
        """Log a delivery that this process has claimed."""
        _log.debug(
            "delivery_claimed",
            event_id=delivery.event_id,
            delivery_id=str(delivery.fence.delivery_id),
            webhook_id=str(delivery.webhook_id),
            attempt=delivery.fence.attempt,
            trace_id=_trace_id(delivery.traceparent),
        )

    def attempt_started(self, delivery: ClaimedDelivery) -> None:
        """Log an attempt whose request is about to be sent."""
        _log.debug(
            "attempt_started",
            event_id=delivery.event_id,
            delivery_id=str(delivery.fence.delivery_id),
            attempt=delivery.fence.attempt,
            trace_id=_trace_id(delivery.traceparent),
        )

    def attempt_finished(self, attempt: Attempt) -> None:
        """Log an attempt that has ended."""
        _log.debug(
            "attempt_finished",
            event_id=attempt.event_id,
            delivery_id=str(attempt.delivery_id),
            attempt=attempt.number,
            outcome=attempt.outcome.value,
            error=attempt.error.code.value if attempt.error else None,
            http_code=attempt.response.http_code if attempt.response else None,
            trace_id=_trace_id(_sent_traceparent(attempt)),
        )

    def result_written(self, result: AttemptResult) -> None:
        """Log a result that was committed."""
        _log.debug(
            "result_written",
            event_id=result.attempt.event_id,
            delivery_id=str(result.fence.delivery_id),
            attempt=result.fence.attempt,
            next_step=type(result.next_step).__name__.lower(),
            trace_id=_trace_id(_sent_traceparent(result.attempt)),
        )


def _trace_id(traceparent: str | None) -> str | None:
    return None if traceparent is None else trace_id_of(traceparent)


def _sent_traceparent(attempt: Attempt) -> str | None:
    """Return where an attempt stood in a trace: its receiver was told."""
    headers = attempt.request.headers if attempt.request else ()
    return next((value for name, value in headers if name == "traceparent"), None)
