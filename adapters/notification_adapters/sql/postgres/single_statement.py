"""Ordinary work in single statements: each is a transaction of its own, and one trip to the server.

A trip costs both sides more than most of what is asked in it. Taken step by step, an event that
comes alone takes nine of them to be stored, and its result seven to be written.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import SingleStatement
from notification_adapters.sql.postgres.dialect import PostgresDialect
from notification_adapters.sql.postgres.driver import columns, driver_of
from notification_adapters.sql.postgres.errors import map_commit_errors, map_errors
from notification_adapters.sql.postgres.ingest import (
    delivery_columns,
    event_columns,
    find_events,
)
from notification_adapters.sql.postgres.pool import PostgresPool
from notification_adapters.sql.postgres.results import LOGGED, attempt_row
from notification_adapters.sql.stores.ingest import order
from notification_core.model.delivery import AttemptOutcome, AttemptResult, Retry, Succeeded
from notification_core.model.event import Arrival, EventKey, arrivals
from notification_core.ports.deliveries import IngestPlan

CONFIRM = "SELECT pg_logical_emit_message(true, 'notification-management', '')"
"""Writes to the log, so that the commit waits for a synchronous standby as far as this record.

A transaction that only finds rows does not wait; what it found may be visible on the primary alone,
after a commit whose wait for the standby was cancelled.
"""

_FEW = 50
"""Results that are written together: beyond, COPY saves more than the trips cost that it takes."""

# The planner makes a join of a plain IN, and without hashes that is a loop over all pairs.
STORE = """
WITH counter AS MATERIALIZED (SELECT revision FROM webhooks_revision), new AS (
  INSERT INTO events (event_id, environment_id, type, occurred_at, body, stored_at)
  SELECT e.event_id, e.environment_id, e.type, e.occurred_at, e.body,
    coalesce($2::timestamptz, now())
  FROM counter CROSS JOIN unnest($5::text[], $6::uuid[], $7::text[], $8::timestamptz[], $9::bytea[])
    AS e (event_id, environment_id, type, occurred_at, body)
  WHERE counter.revision = $1
  ON CONFLICT DO NOTHING
  RETURNING environment_id, event_id
), added AS (
  INSERT INTO deliveries (
    delivery_id, environment_id, webhook_id, event_id, state, reason, due_at, created_at,
    event_stored_at, ended_at, failures, interruptions, attempt, worker, leased_until, started_at
  )
  SELECT d.delivery_id, d.environment_id, d.webhook_id, d.event_id, d.state, d.reason,
    t.now, t.now, t.now, CASE WHEN d.state <> 'pending' THEN t.now END,
    0, 0, d.claimed::integer, CASE WHEN d.claimed THEN $3::uuid END,
    CASE WHEN d.claimed THEN t.now + $4::interval END, CASE WHEN d.claimed THEN t.now END
  FROM (SELECT coalesce($2::timestamptz, now()) AS now) AS t CROSS JOIN unnest(
    $10::uuid[], $11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::text[], $16::boolean[]
  ) AS d (delivery_id, environment_id, webhook_id, event_id, state, reason, claimed)
  WHERE ((d.environment_id, d.event_id) IN (SELECT environment_id, event_id FROM new)) IS TRUE
)
SELECT counter.revision, new.environment_id, new.event_id FROM counter LEFT JOIN new ON true
"""
# In the order of the deliveries' ids, as all who end some: so that nobody waits in a ring.
FINISH = f"""
WITH ended AS (
  UPDATE deliveries AS d SET
    worker = NULL,
    leased_until = NULL,
    failures = d.failures + r.failed,
    interruptions = 0,
    state = CASE WHEN r.after IS NULL THEN 'succeeded' ELSE 'pending' END,
    due_at = CASE WHEN r.after IS NULL THEN d.due_at ELSE coalesce($1, now()) + r.after END,
    ended_at = CASE WHEN r.after IS NULL THEN coalesce($1, now()) END
  FROM unnest($2::uuid[], $3::uuid[], $4::integer[], $5::uuid[], $6::integer[], $7::interval[])
    AS r (delivery_id, environment_id, attempt, worker, failed, after)
  WHERE d.delivery_id = r.delivery_id AND d.environment_id = r.environment_id
    AND d.attempt = r.attempt AND d.worker IS NOT DISTINCT FROM r.worker AND d.state = 'pending'
  RETURNING d.delivery_id
), logged AS (
  INSERT INTO attempts (next_attempt_at, {", ".join(LOGGED)})
  SELECT coalesce($1::timestamptz, now()) + after, {", ".join(LOGGED)}
  FROM unnest(
    $7::interval[], $8::uuid[], $9::uuid[], $10::uuid[], $11::uuid[], $12::text[], $13::text[],
    $14::integer[], $15::text[], $16::timestamptz[], $17::bigint[], $18::text[], $19::text[],
    $20::text[], $21::text[], $22::text[], $23::integer[], $24::text[], $25::bytea[], $26::boolean[]
  ) AS a (after, {", ".join(LOGGED)})
  WHERE (a.delivery_id IN (SELECT delivery_id FROM ended)) IS TRUE
)
SELECT delivery_id FROM ended
"""  # noqa: S608 - the columns' names are ours


class PostgresSingleStatement(SingleStatement):
    """What PostgreSQL does in one trip, on connections whose sessions keep our settings."""

    def __init__(self, pool: PostgresPool, dialect: PostgresDialect) -> None:
        self._pool = pool
        self._dialect = dialect

    async def store(self, planned: IngestPlan) -> Mapping[EventKey, Arrival] | None:
        """Store the events that are new with their deliveries, unless something has changed."""
        events = sorted(planned.events, key=order)
        async with self._lent() as (connection, now):
            rows = await self._pool.commits.fetch(
                driver_of(connection),
                STORE,
                planned.webhooks_revision,
                now,
                planned.worker,
                planned.lease,
                *event_columns(events),
                *delivery_columns(planned.deliveries),
            )
            if rows[0][0] != planned.webhooks_revision:
                return None
            new = {(environment_id, event_id) for _, environment_id, event_id in rows if event_id}
            old = [stored for stored in events if stored.event.key not in new]
            known_events = await find_events(connection, old) if old else {}
            if not new:
                # The statement wrote nothing, so its commit has not waited for what was found.
                await self._pool.commit(connection, CONFIRM)
        # What retention has deleted since was known all the same.
        there = {
            key: Arrival.DUPLICATE if arrival is Arrival.NEW else arrival
            for key, arrival in arrivals(old, known_events).items()
        }
        keys = (stored.event.key for stored in planned.events)
        return {key: there.get(key, Arrival.NEW) for key in keys}

    async def finish(self, results: Sequence[AttemptResult]) -> Sequence[AttemptResult]:
        """Log attempts and end their deliveries or put them off; return the results left to do."""
        places = _eligible(results) if len(results) <= _FEW else ()
        if not places:
            return results
        eligible = [results[place] for place in places]
        ends = [
            (
                *(result.fence.delivery_id, result.fence.environment_id),
                *(result.fence.attempt, result.fence.worker),
                int(result.attempt.outcome is AttemptOutcome.FAILED),
                result.next_step.after if isinstance(result.next_step, Retry) else None,
            )
            for result in eligible
        ]
        async with self._lent() as (connection, now):
            rows = await self._pool.commits.fetch(
                driver_of(connection),
                FINISH,
                now,
                *columns(ends, 6),
                *columns([attempt_row(result.attempt) for result in eligible], len(LOGGED)),
            )
        ended = {delivery_id for (delivery_id,) in rows}
        done = {place for place in places if results[place].fence.delivery_id in ended}
        return [result for place, result in enumerate(results) if place not in done]

    @asynccontextmanager
    async def _lent(self) -> AsyncGenerator[tuple[AsyncConnection, datetime | None]]:
        """Lend a connection, with the storage's time: None where the server's own is meant."""
        with map_errors():
            async with self._pool.lend() as connection:
                server_time = self._dialect.has_server_time
                now = None if server_time else await self._dialect.now(connection)
                with map_commit_errors():
                    yield connection, now


def _eligible(results: Sequence[AttemptResult]) -> Sequence[int]:
    """Return the places of what only succeeded or is to be tried again, once for each delivery.

    They are in the order of the deliveries' ids.
    """
    first: dict[int, int] = {}
    for place, result in enumerate(results):
        first.setdefault(result.fence.delivery_id.int, place)
    return [
        place
        for _, place in sorted(first.items())
        if results[place].attempt.outcome is not AttemptOutcome.INTERRUPTED
        and isinstance(results[place].next_step, Succeeded | Retry)
    ]
