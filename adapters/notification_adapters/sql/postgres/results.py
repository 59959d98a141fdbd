"""Ending attempts on PostgreSQL: results, releases, and leases whose worker is gone.

Rows are locked in the order of their ids, so that those who end many do not wait in a ring.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import (
    DeliveryUpdate,
    Dialect,
    LockedDelivery,
    OverdueAttempt,
)
from notification_adapters.sql.postgres.driver import columns, copy, fetch, run
from notification_adapters.sql.postgres.locks import lock_key
from notification_adapters.sql.postgres.rows import LOGGED, attempt_row
from notification_adapters.sql.stores.phases import phases_text
from notification_core.model.delivery import TEST_WORKER, Attempt, DeliveryState, Fence
from notification_core.model.phases import REUSED

# That the worker is compared so keeps the planner from the index of what is leased: where it knows
# nothing of the workers, it would read all that one has claimed for each of its fences.
_HELD = """
SELECT f.number, d.state, d.failures, d.interruptions, d.created_at
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::integer[])
  AS f (delivery_id, environment_id, attempt, worker, number)
CROSS JOIN LATERAL (
  SELECT state, failures, interruptions, created_at FROM deliveries
  WHERE delivery_id = f.delivery_id AND environment_id = f.environment_id
    AND attempt = f.attempt AND worker IS NOT DISTINCT FROM f.worker
  FOR UPDATE
) AS d
"""
# The same as _HELD and _UPDATE in one statement, for what needs nothing of the row to be checked.
_SUCCEED = """
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
  AND (
    SELECT h.failures FROM webhook_health AS h
    WHERE h.webhook_id = d.webhook_id AND h.environment_id = d.environment_id
  ) IS NULL
RETURNING f.number, CASE WHEN d.state = 'succeeded' THEN $6 - d.created_at END
"""
_UPDATE = """
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
_RELEASE = """
UPDATE deliveries AS d SET worker = NULL, leased_until = NULL, attempt = d.attempt - 1, due_at = $3
FROM unnest($1::uuid[], $2::uuid[]) AS h (delivery_id, environment_id)
WHERE d.delivery_id = h.delivery_id AND d.environment_id = h.environment_id
"""
_LEASED = "SELECT delivery_id, environment_id, attempt FROM deliveries WHERE worker = $1"
_OWNER = """
WITH RECURSIVE owner (worker) AS (
  (SELECT worker FROM deliveries WHERE worker IS NOT NULL ORDER BY worker, leased_until LIMIT 1)
  UNION ALL
  SELECT d.worker FROM owner CROSS JOIN LATERAL (
    SELECT worker FROM deliveries
    WHERE worker IS NOT NULL AND worker > owner.worker ORDER BY worker, leased_until LIMIT 1
  ) AS d
)"""
_OWNERS = f"{_OWNER} SELECT worker FROM owner WHERE worker <> $1"  # noqa: S608 - all of it is ours
# Of a worker that has its lock again nothing is taken: while this transaction has the lock, the
# worker cannot take it, and afterwards sees what it has lost.
_OVERDUE = f"""{_OWNER}, dead (worker) AS MATERIALIZED (
  SELECT worker FROM unnest($1::uuid[], $2::bigint[]) AS k (worker, key)
  WHERE pg_try_advisory_xact_lock(key)
)
SELECT d.delivery_id, d.environment_id, d.state, d.failures, d.interruptions, d.created_at,
  d.attempt, d.worker,
  d.webhook_id, d.event_id, coalesce(e.type, ''), coalesce(d.started_at, d.due_at),
  d.started_at IS NULL
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


class PostgresResultStatements(Dialect):
    """What PostgreSQL is asked of attempts."""

    async def lock_held(
        self, connection: AsyncConnection, fences: Sequence[Fence]
    ) -> Sequence[LockedDelivery | None]:
        """Return and lock for each fence the delivery that it still holds, else None."""
        held: list[LockedDelivery | None] = [None] * len(fences)
        if not fences:
            return held
        rows = await fetch(connection, _HELD, *_by_id(fences))
        for place, state, *rest in rows:
            handle = fences[place].delivery_id, fences[place].environment_id
            held[place] = LockedDelivery(handle, DeliveryState(state), *rest)
        return held

    async def succeed(
        self, connection: AsyncConnection, fences: Sequence[Fence], now: datetime
    ) -> Mapping[int, timedelta | None]:
        """End as succeeded what these fences still hold; return the places of those that do.

        With how long ago each was stored: None if it had ended before, and so stays as it is, and
        only loses its worker. Of a fence that stands there twice one place is returned. What is of
        a webhook that is not healthy is left.
        """
        return dict(await fetch(connection, _SUCCEED, *_by_id(fences), now))

    async def log_attempts(self, connection: AsyncConnection, attempts: Sequence[Attempt]) -> None:
        """Insert attempts that have ended."""
        if attempts:
            names = (*LOGGED, "next_attempt_at", "phases")
            rows = [
                (
                    *attempt_row(attempt),
                    attempt.next_attempt_at,
                    None if attempt.phases is REUSED else phases_text(attempt.phases),
                )
                for attempt in attempts
            ]
            await copy(connection, "attempts", names, rows)

    async def update_deliveries(
        self, connection: AsyncConnection, updates: Sequence[DeliveryUpdate]
    ) -> None:
        """Write what happens to deliveries after their attempts."""
        if updates:
            rows = [(*handle, *values) for handle, *values in updates]
            await run(connection, _UPDATE, *columns(rows, 8))

    async def release(
        self, connection: AsyncConnection, released: Collection[LockedDelivery], due_at: datetime
    ) -> None:
        """Undo the claim of attempts: no worker, the number as before, due then."""
        if released:
            handles = columns([delivery.handle for delivery in released], 2)
            await run(connection, _RELEASE, *handles, due_at)

    async def leased(self, connection: AsyncConnection, worker: UUID) -> Sequence[Fence]:
        """Return every attempt that a worker has claimed and not ended."""
        return [
            Fence(delivery_id, environment_id, attempt, worker)
            for delivery_id, environment_id, attempt in await fetch(connection, _LEASED, worker)
        ]

    async def lease_owners(self, connection: AsyncConnection) -> Collection[UUID]:
        """Return the workers that own leases; those of webhook tests are no worker's."""
        return [worker for (worker,) in await fetch(connection, _OWNERS, TEST_WORKER)]

    async def lock_overdue(
        self, connection: AsyncConnection, dead: Collection[UUID], now: datetime, limit: int
    ) -> Sequence[OverdueAttempt]:
        """Return and lock attempts of dead workers and those whose lease is over."""
        workers = list(dead)
        keys = [lock_key(worker) for worker in workers]
        overdue = []
        for row in await fetch(connection, _OVERDUE, workers, keys, now, limit):
            delivery_id, environment_id, state, *counts_and_time, attempt = row[:7]
            worker, webhook_id, event_id, event_type, claimed_at, prefetched = row[7:]
            handle = delivery_id, environment_id
            overdue.append(
                OverdueAttempt(
                    LockedDelivery(handle, DeliveryState(state), *counts_and_time),
                    Fence(delivery_id, environment_id, attempt, worker),
                    webhook_id=webhook_id,
                    event_id=event_id,
                    event_type=event_type,
                    claimed_at=claimed_at,
                    prefetched=prefetched,
                )
            )
        return overdue


def _by_id(fences: Sequence[Fence]) -> Sequence[Sequence[object]]:
    """Return fences as columns, with their places, in the order in which rows are locked."""
    by_id = sorted(enumerate(fences), key=lambda placed: placed[1].delivery_id.int)
    return columns(
        [
            (fence.delivery_id, fence.environment_id, fence.attempt, fence.worker, place)
            for place, fence in by_id
        ],
        5,
    )
