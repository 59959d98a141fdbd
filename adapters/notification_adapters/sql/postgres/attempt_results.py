"""Ending attempts: results, give-backs and leases whose worker is gone.

Rows are locked in the order of their ids, so that those who end many do not wait in a ring.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import DeliveryUpdate, LockedDelivery, Overdue, RawRow
from notification_adapters.sql.postgres.driver import columns, copy, fetch, run
from notification_adapters.sql.postgres.lock_keys import lock_key
from notification_adapters.sql.tables import MICROSECOND
from notification_core.model.delivery import TEST_WORKER, Attempt, DeliveryState, Fence

# That the worker is compared so keeps the planner from the index of what is leased: where it knows
# nothing of the workers, it would read all that one has begun for each of its fences.
HELD = """
SELECT f.number, d.state, d.failures, d.interruptions
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::integer[])
  AS f (delivery_id, environment_id, attempt, worker, number)
CROSS JOIN LATERAL (
  SELECT state, failures, interruptions FROM deliveries
  WHERE delivery_id = f.delivery_id AND environment_id = f.environment_id
    AND attempt = f.attempt AND worker IS NOT DISTINCT FROM f.worker
  FOR UPDATE
) AS d
"""
# The same as HELD and END in one statement, for what needs nothing of the row to be judged.
SUCCEED = """
UPDATE deliveries AS d SET
  worker = NULL,
  leased_until = NULL,
  interruptions = 0,
  state = CASE d.state WHEN 'pending' THEN 'succeeded' ELSE d.state END,
  ended_at = CASE d.state WHEN 'pending' THEN $6 ELSE d.ended_at END
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::integer[])
  AS f (delivery_id, environment_id, attempt, worker, number)
WHERE d.delivery_id = f.delivery_id AND d.environment_id = f.environment_id
  AND d.attempt = f.attempt AND d.worker IS NOT DISTINCT FROM f.worker
RETURNING f.number
"""
LOGGED = (
    *("log_id", "environment_id", "webhook_id", "delivery_id", "event_id", "event_type", "attempt"),
    *("outcome", "started_at", "duration_us", "error_code", "error_message"),
    *("method", "url", "request_headers"),
    *("http_code", "response_headers", "response_body", "truncated"),
)
END = """
UPDATE deliveries AS d SET
  worker = NULL,
  leased_until = NULL,
  failures = e.failures,
  interruptions = e.interruptions,
  state = coalesce(e.state, d.state),
  reason = CASE WHEN e.state IS NULL THEN d.reason ELSE e.reason END,
  due_at = coalesce(e.due_at, d.due_at),
  ended_at = CASE WHEN e.state IS NULL THEN d.ended_at ELSE e.ended_at END
FROM unnest(
  $1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::text[], $6::text[],
  $7::timestamptz[], $8::timestamptz[]
) AS e (
  delivery_id, environment_id, failures, interruptions, state, reason, due_at, ended_at
)
WHERE d.delivery_id = e.delivery_id AND d.environment_id = e.environment_id
"""
GIVE_BACK = """
UPDATE deliveries AS d SET worker = NULL, leased_until = NULL, attempt = d.attempt - 1, due_at = $3
FROM unnest($1::uuid[], $2::uuid[]) AS h (delivery_id, environment_id)
WHERE d.delivery_id = h.delivery_id AND d.environment_id = h.environment_id
"""
LEASED = "SELECT delivery_id, environment_id, attempt FROM deliveries WHERE worker = $1"
_OWNERS = """
WITH RECURSIVE owner (worker) AS (
  (SELECT worker FROM deliveries WHERE worker IS NOT NULL ORDER BY worker, leased_until LIMIT 1)
  UNION ALL
  SELECT d.worker FROM owner CROSS JOIN LATERAL (
    SELECT worker FROM deliveries
    WHERE worker IS NOT NULL AND worker > owner.worker ORDER BY worker, leased_until LIMIT 1
  ) AS d
)"""
OWNERS = f"{_OWNERS} SELECT worker FROM owner WHERE worker <> $1"  # noqa: S608 - all of it is ours
# Of a worker that has its lock again nothing is taken: while this transaction has the lock, the
# worker cannot take it, and afterwards sees what it has lost.
OVERDUE = f"""{_OWNERS}, dead (worker) AS MATERIALIZED (
  SELECT worker FROM unnest($1::uuid[], $2::bigint[]) AS k (worker, key)
  WHERE pg_try_advisory_xact_lock(key)
)
SELECT d.delivery_id, d.environment_id, d.state, d.failures, d.interruptions, d.attempt, d.worker,
  d.webhook_id, d.event_id, coalesce(e.type, ''), d.started_at
FROM owner AS o CROSS JOIN LATERAL (
  SELECT * FROM deliveries
  WHERE worker = o.worker AND leased_until < CASE
    WHEN o.worker IN (SELECT dead.worker FROM dead) THEN 'infinity' ELSE $3::timestamptz
  END
  ORDER BY worker, leased_until LIMIT $4
  FOR UPDATE SKIP LOCKED
) AS d
LEFT JOIN events AS e ON e.event_id = d.event_id AND e.environment_id = d.environment_id
LIMIT $4
"""  # noqa: S608 - the same

_encode = msgspec.json.Encoder().encode
_NO_REQUEST = (None, None, None)
_NO_RESPONSE = (None, None, None, None)


async def held(
    connection: AsyncConnection, fences: Sequence[Fence]
) -> Sequence[LockedDelivery | None]:
    """Return and lock for each fence the delivery that it still holds, else None."""
    found: list[LockedDelivery | None] = [None] * len(fences)
    if not fences:
        return found
    rows = await fetch(connection, HELD, *_by_id(fences))
    for number, state, failures, interruptions in rows:
        handle = fences[number].delivery_id, fences[number].environment_id
        found[number] = LockedDelivery(handle, DeliveryState(state), failures, interruptions)
    return found


async def succeed(
    connection: AsyncConnection, fences: Sequence[Fence], now: datetime
) -> Collection[int]:
    """End as succeeded what the fences still hold; return the places of those that do."""
    rows = await fetch(connection, SUCCEED, *_by_id(fences), now)
    return {number for (number,) in rows}


async def log(connection: AsyncConnection, attempts: Sequence[Attempt]) -> None:
    """Insert attempts that have ended."""
    if attempts:
        names = (*LOGGED, "next_attempt_at")
        rows = [(*attempt_row(one), one.next_attempt_at) for one in attempts]
        await copy(connection, "attempts", names, rows)


async def end(connection: AsyncConnection, endings: Sequence[DeliveryUpdate]) -> None:
    """Write what becomes of deliveries after their attempts."""
    if endings:
        rows = [_ending_row(one) for one in endings]
        await run(connection, END, *columns(rows, 8))


async def give_back(
    connection: AsyncConnection, given: Collection[LockedDelivery], due_at: datetime
) -> None:
    """Undo the begin of attempts: no worker, the number as before, due then."""
    if given:
        await run(connection, GIVE_BACK, *columns([one.handle for one in given], 2), due_at)


async def leased(connection: AsyncConnection, worker: UUID) -> Sequence[Fence]:
    """Return every attempt that a worker has begun and not ended."""
    rows = await fetch(connection, LEASED, worker)
    return [Fence(one, environment, number, worker) for one, environment, number in rows]


async def owners(connection: AsyncConnection) -> Collection[UUID]:
    """Return the workers that own leases."""
    return [worker for (worker,) in await fetch(connection, OWNERS, TEST_WORKER)]


async def overdue(
    connection: AsyncConnection, dead: Collection[UUID], now: datetime, limit: int
) -> Sequence[Overdue]:
    """Return and lock attempts of dead workers and those whose lease is over."""
    workers = list(dead)
    keys = [lock_key(worker) for worker in workers]
    rows = await fetch(connection, OVERDUE, workers, keys, now, limit)
    return [_overdue(row) for row in rows]


def _overdue(row: RawRow) -> Overdue:
    delivery_id, environment_id, state, failures, interruptions, attempt, worker, *rest = row
    webhook_id, event_id, event_type, begun_at = rest
    return Overdue(
        held=LockedDelivery(
            (delivery_id, environment_id), DeliveryState(state), failures, interruptions
        ),
        fence=Fence(delivery_id, environment_id, attempt, worker),
        webhook_id=webhook_id,
        event_id=event_id,
        event_type=event_type,
        begun_at=begun_at,
    )


def _by_id(fences: Sequence[Fence]) -> Sequence[Sequence[object]]:
    """Return fences as columns, with their places, in the order in which rows are locked."""
    by_id = sorted(range(len(fences)), key=lambda number: fences[number].delivery_id.int)
    return columns([_fence_row(fences[number], number) for number in by_id], 5)


def _fence_row(fence: Fence, number: int) -> Sequence[object]:
    return fence.delivery_id, fence.environment_id, fence.attempt, fence.worker, number


def _ending_row(ending: DeliveryUpdate) -> Sequence[object]:
    handle, failures, interruptions, state, reason, due_at, ended_at = ending
    return *handle, failures, interruptions, state, reason, due_at, ended_at


def attempt_row(attempt: Attempt) -> Sequence[object]:
    """Return the columns ``LOGGED`` of an attempt: all but when the next one is made."""
    error, duration = attempt.error, attempt.duration
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
        *_request_columns(attempt),
        *_response_columns(attempt),
    )


def _request_columns(attempt: Attempt) -> Sequence[object]:
    request = attempt.request
    if request is None:
        return _NO_REQUEST
    return request.method, request.url, _encode(request.headers).decode()


def _response_columns(attempt: Attempt) -> Sequence[object]:
    response = attempt.response
    if response is None:
        return _NO_RESPONSE
    headers = _encode(response.headers).decode()
    return response.http_code, headers, response.body, response.truncated
