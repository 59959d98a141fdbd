"""Ending attempts on SQLite: results, releases, and leases whose worker is gone."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import (
    DeliveryUpdate,
    Dialect,
    LockedDelivery,
    OverdueAttempt,
)
from notification_adapters.sql.instants import from_microseconds, to_microseconds
from notification_adapters.sql.sqlite.driver import as_json, fetch, run_many
from notification_adapters.sql.sqlite.rows import LOG, attempt_row
from notification_core.model.delivery import TEST_WORKER, Attempt, DeliveryState, Fence

_HELD = """
SELECT f.key, d.environment_id, d.attempt, d.worker, d.rowid, d.state, d.failures, d.interruptions,
  d.created_at
FROM json_each(?) AS f CROSS JOIN deliveries AS d ON d.delivery_id = f.value
"""
_UPDATE = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, failures = ?, interruptions = ?,
  state = ?, reason = ?, due_at = coalesce(?, due_at), ended_at = ?
WHERE rowid = ?
"""
# What had ended before only loses its worker.
_LET_GO = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, failures = ?, interruptions = ?
WHERE rowid = ?
"""
_RELEASE = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, attempt = attempt - 1, due_at = ?
WHERE rowid = ?
"""
_LEASED = """
SELECT delivery_id, environment_id, attempt FROM deliveries INDEXED BY deliveries_leased
WHERE worker = ?
"""
_OWNERS = "SELECT DISTINCT worker FROM deliveries WHERE worker IS NOT NULL AND worker <> ?"
OVERDUE: Final = """
SELECT d.rowid, d.state, d.failures, d.interruptions, d.created_at, d.delivery_id,
  d.environment_id, d.attempt, d.worker, d.webhook_id, d.event_id, coalesce(e.type, ''),
  coalesce(d.started_at, d.due_at), d.started_at IS NULL
FROM (
  SELECT rowid AS handle FROM deliveries INDEXED BY deliveries_leased
  WHERE worker IS NOT NULL
    AND (leased_until < ?2 OR worker IN (SELECT value FROM json_each(?1)))
  LIMIT ?3
) AS o
CROSS JOIN deliveries AS d ON d.rowid = o.handle
LEFT JOIN events AS e ON e.event_id = d.event_id AND e.environment_id = d.environment_id
"""


class SqliteResultStatements(Dialect):
    """What SQLite is asked of attempts."""

    async def lock_held(
        self, connection: AsyncConnection, fences: Sequence[Fence]
    ) -> Sequence[LockedDelivery | None]:
        """Return for each fence the delivery that it still holds, else None."""
        held: list[LockedDelivery | None] = [None] * len(fences)
        ids = as_json(fence.delivery_id.hex for fence in fences)
        rows = await fetch(connection, _HELD, ids)
        for place, environment, attempt, worker, *delivery in rows:
            fence = fences[place]
            theirs = (fence.environment_id.hex, fence.attempt, fence.worker.hex)
            if theirs == (environment, attempt, worker):
                held[place] = _locked(*delivery)
        return held

    async def log_attempts(self, connection: AsyncConnection, attempts: Sequence[Attempt]) -> None:
        """Insert attempts that have ended."""
        await run_many(connection, LOG, [attempt_row(attempt) for attempt in attempts])

    async def update_deliveries(
        self, connection: AsyncConnection, updates: Sequence[DeliveryUpdate]
    ) -> None:
        """Write what happens to deliveries after their attempts."""
        ended = [
            (
                failures,
                interruptions,
                state.value,
                None if reason is None else reason.value,
                None if due_at is None else to_microseconds(due_at),
                None if ended_at is None else to_microseconds(ended_at),
                handle,
            )
            for handle, failures, interruptions, state, reason, due_at, ended_at in updates
            if state is not None
        ]
        let_go = [
            (update.failures, update.interruptions, update.handle)
            for update in updates
            if update.state is None
        ]
        await run_many(connection, _UPDATE, ended)
        await run_many(connection, _LET_GO, let_go)

    async def release(
        self, connection: AsyncConnection, released: Collection[LockedDelivery], due_at: datetime
    ) -> None:
        """Undo the claim of attempts: no worker, the number as before, due then."""
        due = to_microseconds(due_at)
        await run_many(connection, _RELEASE, [(due, delivery.handle) for delivery in released])

    async def leased(self, connection: AsyncConnection, worker: UUID) -> Sequence[Fence]:
        """Return every attempt that a worker has claimed and not ended."""
        return [
            Fence(UUID(delivery_id), UUID(environment_id), attempt, worker)
            for delivery_id, environment_id, attempt in await fetch(connection, _LEASED, worker.hex)
        ]

    async def lease_owners(self, connection: AsyncConnection) -> Collection[UUID]:
        """Return the workers that own leases; those of webhook tests are no worker's."""
        return [UUID(worker) for (worker,) in await fetch(connection, _OWNERS, TEST_WORKER.hex)]

    async def lock_overdue(
        self, connection: AsyncConnection, dead: Collection[UUID], now: datetime, limit: int
    ) -> Sequence[OverdueAttempt]:
        """Return attempts of dead workers and those whose lease is over."""
        workers = as_json(worker.hex for worker in dead)
        overdue = []
        for row in await fetch(connection, OVERDUE, workers, to_microseconds(now), limit):
            delivery, environment, attempt, worker, webhook, *rest = row[5:]
            event_id, event_type, claimed_at, prefetched = rest
            overdue.append(
                OverdueAttempt(
                    _locked(*row[:5]),
                    Fence(UUID(delivery), UUID(environment), attempt, UUID(worker)),
                    webhook_id=UUID(webhook),
                    event_id=event_id,
                    event_type=event_type,
                    claimed_at=from_microseconds(claimed_at),
                    prefetched=bool(prefetched),
                )
            )
        return overdue


def _locked(
    handle: int, state: str, failures: int, interruptions: int, created_at: int
) -> LockedDelivery:
    at = from_microseconds(created_at)
    return LockedDelivery(handle, DeliveryState(state), failures, interruptions, at)
