"""How SQLite stores events, deliveries and attempts: the statements, and the rows for them.

Identifiers are 32 hex digits here, and instants are microseconds since the epoch.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from notification_adapters.sql.instants import EPOCH, MICROSECOND
from notification_adapters.sql.sqlite.driver import Row
from notification_adapters.sql.stores.phases import phases_text
from notification_core.model.delivery import Attempt, DeliveryState, NewDelivery
from notification_core.model.event import EventToStore
from notification_core.model.phases import REUSED

ADD_EVENT: Final = """
INSERT INTO events (event_id, environment_id, type, occurred_at, ordering_key, body, stored_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
ADD_TRACED_EVENT: Final = """
INSERT INTO events (
  event_id, environment_id, type, occurred_at, ordering_key, body, stored_at, traceparent
) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
ADD_DELIVERY: Final = """
INSERT INTO deliveries (
  delivery_id, environment_id, webhook_id, event_id, state, reason, due_at, attempt, failures,
  interruptions, worker, leased_until, started_at, created_at, event_stored_at, ended_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?)
"""
LOG: Final = """
INSERT INTO attempts (
  log_id, environment_id, webhook_id, delivery_id, event_id, event_type, attempt, outcome,
  started_at, duration_us, next_attempt_at, error_code, error_message, method, url,
  request_headers, http_code, response_headers, response_body, truncated, instance,
  phases
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_encode = msgspec.json.Encoder().encode


def event_row(stored: EventToStore, stored_at: int) -> Row:
    """Return the values of ``ADD_EVENT``."""
    event = stored.event
    return (
        event.event_id,
        event.environment_id.hex,
        event.type,
        (event.occurred_at - EPOCH) // MICROSECOND,
        event.ordering_key,
        stored.body,
        stored_at,
    )


def traced_event_row(stored: EventToStore, stored_at: int) -> Row:
    """Return the values of ``ADD_TRACED_EVENT``."""
    return (*event_row(stored, stored_at), stored.event.traceparent)


def delivery_rows(
    deliveries: Sequence[NewDelivery], worker: UUID | None, now: int, until: int
) -> Sequence[Row]:
    """Return the values of ``ADD_DELIVERY``, of each in order.

    Those that are claimed belong to ``worker`` from ``now`` until then, with attempt 1.
    """
    owner = None if worker is None else worker.hex
    due = (0, None, None, None, now, now)
    begun = (1, owner, until, now, now, now)
    prefetched = (1, owner, until, None, now, now)
    return [
        (
            delivery.delivery_id.hex,
            delivery.environment_id.hex,
            delivery.webhook_id.hex,
            delivery.event_id,
            delivery.state.value,
            None if delivery.reason is None else delivery.reason.value,
            now,
            *(due if not delivery.claimed else prefetched if delivery.prefetched else begun),
            None if delivery.state is DeliveryState.PENDING else now,
        )
        for delivery in deliveries
    ]


def attempt_row(attempt: Attempt) -> Row:
    """Return the values of ``LOG``."""
    error, next_at, duration = attempt.error, attempt.next_attempt_at, attempt.duration
    request, response = attempt.request, attempt.response
    return (
        attempt.log_id.hex,
        attempt.environment_id.hex,
        attempt.webhook_id.hex,
        attempt.delivery_id.hex,
        attempt.event_id,
        attempt.event_type,
        attempt.number,
        attempt.outcome.value,
        (attempt.started_at - EPOCH) // MICROSECOND,
        None if duration is None else duration // MICROSECOND,
        None if next_at is None else (next_at - EPOCH) // MICROSECOND,
        None if error is None else error.code.value,
        None if error is None else error.message,
        None if request is None else request.method,
        None if request is None else request.url,
        None if request is None else _encode(request.headers).decode(),
        None if response is None else response.http_code,
        None if response is None else _encode(response.headers).decode(),
        None if response is None else response.body,
        None if response is None else response.truncated,
        attempt.instance,
        None if attempt.phases is REUSED else phases_text(attempt.phases),
    )
