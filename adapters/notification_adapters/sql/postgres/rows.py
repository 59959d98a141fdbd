"""What PostgreSQL stores of events, deliveries and attempts, for COPY and ``unnest``."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import msgspec

from notification_adapters.sql.instants import MICROSECOND
from notification_adapters.sql.postgres.driver import columns
from notification_core.model.delivery import Attempt, NewDelivery
from notification_core.model.event import EventToStore

LOGGED: Final = (
    *("log_id", "environment_id", "webhook_id", "delivery_id", "event_id", "event_type", "attempt"),
    *("outcome", "started_at", "duration_us", "error_code", "error_message"),
    *("method", "url", "request_headers"),
    *("http_code", "response_headers", "response_body", "truncated", "instance"),
)

_of_event = attrgetter("event_id", "environment_id", "type", "occurred_at", "ordering_key")
_of_delivery = attrgetter(
    *("delivery_id", "environment_id", "webhook_id", "event_id"),
    *("state", "reason", "claimed", "prefetched"),
)
_encode = msgspec.json.Encoder().encode


def event_columns(events: Sequence[EventToStore]) -> Sequence[Sequence[object]]:
    """Return what is stored of events, in arrays: id, environment, type, time, key, body."""
    return columns([(*_of_event(stored.event), stored.body) for stored in events], 6)


def traceparents(events: Sequence[EventToStore]) -> Sequence[str | None]:
    """Return the places of events in their traces, as an array."""
    return [stored.event.traceparent for stored in events]


def delivery_columns(deliveries: Sequence[NewDelivery]) -> Sequence[Sequence[object]]:
    """Return what deliveries do not share, in arrays: ids, state, reason, how they are taken."""
    return columns(map(_of_delivery, deliveries), 8)


def attempt_row(attempt: Attempt) -> Sequence[object]:
    """Return the columns ``LOGGED`` of an attempt: all but its phases and when the next is made."""
    error, duration = attempt.error, attempt.duration
    request, response = attempt.request, attempt.response
    return (
        attempt.log_id,
        attempt.environment_id,
        attempt.webhook_id,
        attempt.delivery_id,
        attempt.event_id,
        attempt.event_type,
        attempt.number,
        attempt.outcome,
        attempt.started_at,
        None if duration is None else duration // MICROSECOND,
        None if error is None else error.code,
        None if error is None else error.message,
        None if request is None else request.method,
        None if request is None else request.url,
        None if request is None else _encode(request.headers).decode(),
        None if response is None else response.http_code,
        None if response is None else _encode(response.headers).decode(),
        None if response is None else response.body,
        None if response is None else response.truncated,
        attempt.instance,
    )
