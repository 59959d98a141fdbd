"""Ordinary work in single statements: each is a transaction of its own, and one trip to the server.

A trip costs both sides more than most of what is asked in it. Taken step by step, an event that
comes alone takes nine of them to be stored, and its result seven to be written.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import SingleStatement
from notification_adapters.sql.postgres.attempt_results import LOGGED, attempt_row
from notification_adapters.sql.postgres.driver import columns
from notification_adapters.sql.postgres.errors import map_commit_errors, map_errors
from notification_adapters.sql.postgres.events import delivery_columns, event_columns, known
from notification_adapters.sql.postgres.pool import Pool
from notification_adapters.sql.stores import ingest
from notification_core.model.delivery import AttemptOutcome, AttemptResult, Retry, Succeeded
from notification_core.model.event import Arrival, EventKey
from notification_core.ports.deliveries import IngestPlan

CONFIRM = "SELECT pg_logical_emit_message(true, 'notification-management', '')"
"""Writes to the log, so that the commit waits for a synchronous standby as far as this record.

A transaction that only finds rows does not wait; what it found may be visible on the primary alone,
after a commit whose wait for the standby was cancelled.
"""

_FEW = 50
"""Results that are written together: beyond, COPY saves more than the trips cost that it takes."""

StatedNow = Callable[[AsyncConnection], Awaitable[datetime | None]]
"""Tells the storage's time, or None where the server's own is meant."""

# The planner makes a join of a plain IN, and without hashes that is a loop over all pairs.
STORE = """
WITH counter AS MATERIALIZED (SELECT number FROM changes), new AS (
  INSERT INTO events (event_id, environment_id, type, occurred_at, body, stored_at)
  SELECT e.event_id, e.environment_id, e.type, e.occurred_at, e.body,
    coalesce($2::timestamptz, now())
  FROM counter CROSS JOIN unnest($5::text[], $6::uuid[], $7::text[], $8::timestamptz[], $9::bytea[])
    AS e (event_id, environment_id, type, occurred_at, body)
  WHERE counter.number = $1
  ON CONFLICT DO NOTHING
  RETURNING environment_id, event_id
), added AS (
  INSERT INTO deliveries (
    delivery_id, environment_id, webhook_id, event_id, state, reason, due_at, created_at,
    event_stored_at, ended_at, failures, interruptions, attempt, worker, leased_until, started_at
  )
  SELECT d.delivery_id, d.environment_id, d.webhook_id, d.event_id, d.state, d.reason,
    t.now, t.now, t.now, CASE WHEN d.state <> 'pending' THEN t.now END,
    0, 0, d.begun::integer, CASE WHEN d.begun THEN $3::uuid END,
    CASE WHEN d.begun THEN t.now + $4::interval END, CASE WHEN d.begun THEN t.now END
  FROM (SELECT coalesce($2::timestamptz, now()) AS now) AS t CROSS JOIN unnest(
    $10::uuid[], $11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::text[], $16::boolean[]
  ) AS d (delivery_id, environment_id, webhook_id, event_id, state, reason, begun)
  WHERE ((d.environment_id, d.event_id) IN (SELECT environment_id, event_id FROM new)) IS TRUE
)
SELECT counter.number, new.environment_id, new.event_id FROM counter LEFT JOIN new ON true
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

    def __init__(self, pool: Pool, stated_now: StatedNow) -> None:
        self._pool = pool
        self._stated_now = stated_now

    async def store(self, planned: IngestPlan) -> Mapping[EventKey, Arrival] | None:
        """Store the events that are new with their deliveries, unless something has changed."""
        events = sorted(planned.events, key=ingest.order)
        async with self._lent() as connection:
            rows = await self._pool.fetch_committed(
                connection,
                STORE,
                planned.changes,
                await self._stated_now(connection),
                planned.worker,
                planned.lease,
                *event_columns(events),
                *delivery_columns(planned.deliveries),
            )
            if rows[0][0] != planned.changes:
                return None
            new = {(environment_id, event_id) for _, environment_id, event_id in rows if event_id}
            others = [one for one in events if one.event.key not in new]
            found = await known(connection, others) if others else {}
            if not new:
                # The statement wrote nothing, so its commit has not waited for what was found.
                await self._pool.commit(connection, CONFIRM)
        # What retention has deleted since was known all the same.
        arrivals = ingest.arrivals(others, found)
        there = {k: Arrival.DUPLICATE if v is Arrival.NEW else v for k, v in arrivals.items()}
        return {one.event.key: there.get(one.event.key, Arrival.NEW) for one in planned.events}

    async def finish(self, results: Sequence[AttemptResult]) -> Sequence[AttemptResult]:
        """Log attempts and end their deliveries or put them off; return the results left to do."""
        places = _ordinary(results) if len(results) <= _FEW else ()
        if not places:
            return results
        ordinary = [results[place] for place in places]
        async with self._lent() as connection:
            rows = await self._pool.fetch_committed(
                connection,
                FINISH,
                await self._stated_now(connection),
                *columns(map(_result_row, ordinary), 6),
                *columns([attempt_row(one.attempt) for one in ordinary], len(LOGGED)),
            )
        ended = {delivery_id for (delivery_id,) in rows}
        done = {one for one in places if results[one].fence.delivery_id in ended}
        return [one for place, one in enumerate(results) if place not in done]

    @asynccontextmanager
    async def _lent(self) -> AsyncGenerator[AsyncConnection]:
        with map_errors():
            async with self._pool.lend() as connection:
                with map_commit_errors():
                    yield connection


def _ordinary(results: Sequence[AttemptResult]) -> Sequence[int]:
    """Return the places of what only succeeded or is to be tried again, once for each delivery."""
    first: dict[object, int] = {}
    for place, one in enumerate(results):
        first.setdefault(one.fence.delivery_id, place)
    chosen = [place for place in first.values() if _is_ordinary(results[place])]
    return sorted(chosen, key=lambda place: results[place].fence.delivery_id.int)


def _is_ordinary(result: AttemptResult) -> bool:
    is_over = result.attempt.outcome is not AttemptOutcome.INTERRUPTED
    return is_over and isinstance(result.verdict, Succeeded | Retry)


def _result_row(result: AttemptResult) -> Sequence[object]:
    fence = result.fence
    failed = int(result.attempt.outcome is AttemptOutcome.FAILED)
    return (
        fence.delivery_id,
        fence.environment_id,
        fence.attempt,
        fence.worker,
        failed,
        _after(result),
    )


def _after(result: AttemptResult) -> timedelta | None:
    return result.verdict.after if isinstance(result.verdict, Retry) else None
