"""Ending attempts: results, give-backs and leases whose worker is gone."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import (
    DeliveryUpdate,
    Handle,
    LockedDelivery,
    Overdue,
    RawRow,
)
from notification_adapters.sql.sqlite.driver import Value, as_json, fetch, run_many
from notification_adapters.sql.tables import MICROSECOND, from_microseconds, to_microseconds
from notification_core.model.delivery import TEST_WORKER, Attempt, DeliveryState, Fence

HELD = """
SELECT f.key, d.environment_id, d.attempt, d.worker, d.rowid, d.state, d.failures, d.interruptions
FROM json_each(?1) AS f CROSS JOIN deliveries AS d ON d.delivery_id = f.value
"""
LOG = """
INSERT INTO attempts (
  log_id, environment_id, webhook_id, delivery_id, event_id, event_type, attempt, outcome,
  started_at, duration_us, next_attempt_at, error_code, error_message, method, url,
  request_headers, http_code, response_headers, response_body, truncated
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_END = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, failures = ?, interruptions = ?,
  state = ?, reason = ?, due_at = coalesce(?, due_at), ended_at = ?
WHERE rowid = ?
"""
SUCCEED = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, interruptions = 0,
  ended_at = CASE state WHEN 'pending' THEN ? ELSE ended_at END,
  state = CASE state WHEN 'pending' THEN 'succeeded' ELSE state END
WHERE rowid = ?
"""
_RELEASE = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, failures = ?, interruptions = ?
WHERE rowid = ?
"""
_GIVE_BACK = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, attempt = attempt - 1, due_at = ?
WHERE rowid = ?
"""
_LEASED = """
SELECT delivery_id, environment_id, attempt FROM deliveries INDEXED BY deliveries_leased
WHERE worker = ?
"""
_OWNERS = "SELECT DISTINCT worker FROM deliveries WHERE worker IS NOT NULL AND worker <> ?"
OVERDUE = """
SELECT d.rowid, d.state, d.failures, d.interruptions, d.delivery_id, d.environment_id, d.attempt,
  d.worker, d.webhook_id, d.event_id, coalesce(e.type, ''), d.started_at
FROM (
  SELECT rowid AS handle FROM deliveries INDEXED BY deliveries_leased
  WHERE worker IS NOT NULL
    AND (leased_until < ?2 OR worker IN (SELECT value FROM json_each(?1)))
  LIMIT ?3
) AS o
CROSS JOIN deliveries AS d ON d.rowid = o.handle
LEFT JOIN events AS e ON e.event_id = d.event_id AND e.environment_id = d.environment_id
"""

_encode = msgspec.json.Encoder().encode
_NO_REQUEST = (None, None, None)
_NO_RESPONSE = (None, None, None, None)


async def held(
    connection: AsyncConnection, fences: Sequence[Fence]
) -> Sequence[LockedDelivery | None]:
    """Return for each fence the delivery that it still holds, else None."""
    return held_of(fences, await fetch(connection, HELD, ids_of(fences)))


def ids_of(fences: Sequence[Fence]) -> str:
    """Return what ``HELD`` is asked by."""
    return as_json([fence.delivery_id.hex for fence in fences])


def held_of(fences: Sequence[Fence], rows: Sequence[RawRow]) -> Sequence[LockedDelivery | None]:
    """Return for each fence the row of ``HELD`` that it still holds, else None."""
    found: list[LockedDelivery | None] = [None] * len(fences)
    for key, environment, attempt, worker, handle, state, failures, interruptions in rows:
        fence = fences[key]
        theirs = (fence.environment_id.hex, fence.attempt, fence.worker.hex)
        if theirs == (environment, attempt, worker):
            found[key] = LockedDelivery(handle, DeliveryState(state), failures, interruptions)
    return found


async def succeed(
    connection: AsyncConnection, fences: Sequence[Fence], now: datetime
) -> Collection[int]:
    """End as succeeded what the fences still hold; return the places of those that do."""
    places = places_of(await held(connection, fences))
    ended_at = to_microseconds(now)
    await run_many(connection, SUCCEED, [(ended_at, handle) for handle in places])
    return set(places.values())


def places_of(found: Sequence[LockedDelivery | None]) -> Mapping[Handle, int]:
    """Return by their handles the places of what is held; of what is named twice, the last."""
    return {row.handle: number for number, row in enumerate(found) if row is not None}


async def log(connection: AsyncConnection, attempts: Sequence[Attempt]) -> None:
    """Insert attempts that have ended."""
    await run_many(connection, LOG, [attempt_row(attempt) for attempt in attempts])


async def end(connection: AsyncConnection, endings: Sequence[DeliveryUpdate]) -> None:
    """Write what becomes of deliveries after their attempts."""
    ended = [_ending_row(one) for one in endings if one.state is not None]
    released = [
        (one.failures, one.interruptions, one.handle) for one in endings if one.state is None
    ]
    await run_many(connection, _END, ended)
    await run_many(connection, _RELEASE, released)


async def give_back(
    connection: AsyncConnection, given: Collection[LockedDelivery], due_at: datetime
) -> None:
    """Undo the begin of attempts: no worker, the number as before, due then."""
    due = to_microseconds(due_at)
    await run_many(connection, _GIVE_BACK, [(due, one.handle) for one in given])


async def leased(connection: AsyncConnection, worker: UUID) -> Sequence[Fence]:
    """Return every attempt that a worker has begun and not ended."""
    rows = await fetch(connection, _LEASED, worker.hex)
    return [Fence(UUID(one), UUID(environment), n, worker) for one, environment, n in rows]


async def owners(connection: AsyncConnection) -> Collection[UUID]:
    """Return the workers that own leases; those of trials are no worker's."""
    return [UUID(worker) for (worker,) in await fetch(connection, _OWNERS, TEST_WORKER.hex)]


async def overdue(
    connection: AsyncConnection, dead: Collection[UUID], now: datetime, limit: int
) -> Sequence[Overdue]:
    """Return attempts of dead workers and those whose lease is over."""
    workers = as_json(worker.hex for worker in dead)
    rows = await fetch(connection, OVERDUE, workers, to_microseconds(now), limit)
    return [_overdue(row) for row in rows]


def _overdue(row: RawRow) -> Overdue:
    handle, state, failures, interruptions, delivery, environment, attempt, worker, *rest = row
    webhook, event_id, event_type, begun_at = rest
    return Overdue(
        held=LockedDelivery(handle, DeliveryState(state), failures, interruptions),
        fence=Fence(UUID(delivery), UUID(environment), attempt, UUID(worker)),
        webhook_id=UUID(webhook),
        event_id=event_id,
        event_type=event_type,
        begun_at=from_microseconds(begun_at),
    )


def _ending_row(ending: DeliveryUpdate) -> Sequence[Value]:
    assert ending.state is not None  # noqa: S101 - for the type checker only
    return (
        ending.failures,
        ending.interruptions,
        ending.state.value,
        None if ending.reason is None else ending.reason.value,
        None if ending.due_at is None else to_microseconds(ending.due_at),
        None if ending.ended_at is None else to_microseconds(ending.ended_at),
        ending.handle,
    )


def attempt_row(attempt: Attempt) -> Sequence[Value]:
    """Return the values of ``LOG``."""
    error, next_at, duration = attempt.error, attempt.next_attempt_at, attempt.duration
    return (
        attempt.log_id.hex,
        attempt.environment_id.hex,
        attempt.webhook_id.hex,
        attempt.delivery_id.hex,
        attempt.event_id,
        attempt.event_type,
        attempt.number,
        attempt.outcome.value,
        to_microseconds(attempt.started_at),
        None if duration is None else duration // MICROSECOND,
        None if next_at is None else to_microseconds(next_at),
        None if error is None else error.code.value,
        None if error is None else error.message,
        *_request_columns(attempt),
        *_response_columns(attempt),
    )


def _request_columns(attempt: Attempt) -> Sequence[Value]:
    request = attempt.request
    if request is None:
        return _NO_REQUEST
    return request.method, request.url, _encode(request.headers).decode()


def _response_columns(attempt: Attempt) -> Sequence[Value]:
    response = attempt.response
    if response is None:
        return _NO_RESPONSE
    headers = _encode(response.headers).decode()
    return response.http_code, headers, response.body, response.truncated
