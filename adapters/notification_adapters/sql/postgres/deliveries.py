"""The delivery store on PostgreSQL: ordinary work takes single statements, one trip each.

Each is a transaction of its own, on a connection whose session keeps our settings.

A trip costs both sides more than most of what is asked in it. Taken step by step, an event that
comes alone takes nine of them to be stored, and its result seven to be written.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from notification_adapters.sql.dialect import MAX_FIGURES
from notification_adapters.sql.postgres.database import CONFIRM, PostgresDatabase
from notification_adapters.sql.postgres.driver import columns, driver_of
from notification_adapters.sql.postgres.ingest import find_events
from notification_adapters.sql.postgres.rows import (
    LOGGED,
    attempt_row,
    delivery_columns,
    event_columns,
    traceparents,
)
from notification_adapters.sql.postgres.statistics import (
    ADD_UP,
    COLUMNS,
    COMPACT,
    delivery_time_record,
)
from notification_adapters.sql.stores.attempt_results import is_success
from notification_adapters.sql.stores.deliveries import SqlDeliveryStore
from notification_adapters.sql.stores.ingest import INGEST_ORDER
from notification_adapters.sql.stores.phases import phases_text
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.model.circuit_breaker import (
    NO_BREAKER,
    CircuitBreaker,
    counts_as_failure,
)
from notification_core.model.delivery import (
    AttemptOutcome,
    AttemptResult,
    DeliveryState,
    Fence,
    Retry,
    Succeeded,
)
from notification_core.model.event import Arrival, EventKey, arrivals
from notification_core.model.phases import REUSED
from notification_core.model.statistics import CountsByWebhook
from notification_core.model.statistics_encoding import compact, encode_attempt
from notification_core.ports.deliveries import IngestPlan

_FEW = 50
"""Results that are written together: beyond, COPY saves more than the trips cost that it takes."""


def _store_statement(column: str = "", array: str = "", writer: str = "") -> str:
    """Return the statement that stores events, if need be with one more column from an array.

    With the placeholder of a ``writer``, deliveries that are stored as skipped are counted.
    """
    counted = f""", counted AS (
  INSERT INTO statistics AS s ({COLUMNS})
  SELECT webhook_id, environment_id, date_trunc('minute', coalesce($2, now())), {writer}::uuid, 1,
    0, 0, 0, 0, 0, count(*), 0, ''
  FROM added WHERE state = 'skipped' GROUP BY webhook_id, environment_id
  {ADD_UP}
)"""  # noqa: S608 - the names are ours
    # The planner makes a join of a plain IN, and without hashes that is a loop over all pairs.
    return f"""
WITH counter AS MATERIALIZED (SELECT revision FROM webhooks_revision), new AS (
  INSERT INTO events (
    event_id, environment_id, type, occurred_at, ordering_key, body{column}, stored_at
  )
  SELECT e.event_id, e.environment_id, e.type, e.occurred_at, e.ordering_key, e.body{column},
    coalesce($2::timestamptz, now())
  FROM counter CROSS JOIN unnest(
    $5::text[], $6::uuid[], $7::text[], $8::timestamptz[], $9::text[], $10::bytea[]{array}
  ) AS e (event_id, environment_id, type, occurred_at, ordering_key, body{column})
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
    CASE WHEN d.claimed THEN t.now + $4::interval END,
    CASE WHEN d.claimed AND NOT d.prefetched THEN t.now END
  FROM (SELECT coalesce($2::timestamptz, now()) AS now) AS t CROSS JOIN unnest(
    $11::uuid[], $12::uuid[], $13::uuid[], $14::text[], $15::text[], $16::text[], $17::boolean[],
    $18::boolean[]
  ) AS d (delivery_id, environment_id, webhook_id, event_id, state, reason, claimed, prefetched)
  WHERE ((d.environment_id, d.event_id) IN (SELECT environment_id, event_id FROM new)) IS TRUE
  {"RETURNING webhook_id, environment_id, state" if writer else ""}
){counted if writer else ""}
SELECT counter.revision, new.environment_id, new.event_id FROM counter LEFT JOIN new ON true
"""  # noqa: S608 - the column's name is ours


STORE: Final = _store_statement()
_STORE_TRACED: Final = _store_statement(", traceparent", ", $19::text[]")
_STORE_WITH_SKIPS: Final = _store_statement(writer="$19")
_STORE_TRACED_WITH_SKIPS: Final = _store_statement(", traceparent", ", $19::text[]", "$20")


def _finish_statement(phases: str = "NULL", array: str = "") -> str:
    """Return the statement that ends attempts, with their ``phases`` from an array if any has some.

    It goes in the order of the deliveries' ids, as all who end some: so that nobody waits in a
    ring. What is of a webhook that is not healthy is left: its health is checked in the order of
    the results.
    """
    return f"""
WITH ended AS (
  UPDATE deliveries AS d SET
    worker = NULL,
    leased_until = NULL,
    failures = d.failures + r.failed,
    interruptions = 0,
    state = CASE WHEN r.after IS NULL THEN 'succeeded' ELSE 'pending' END,
    due_at = CASE WHEN r.after IS NULL THEN d.due_at ELSE coalesce($1, now()) + r.after END,
    ended_at = CASE WHEN r.after IS NULL THEN coalesce($1, now()) END
  FROM unnest($2::uuid[], $3::uuid[], $4::integer[], $5::uuid[], $6::integer[], $7::interval[],
    $28::bytea[]) AS r (delivery_id, environment_id, attempt, worker, failed, after, figures)
  WHERE d.delivery_id = r.delivery_id AND d.environment_id = r.environment_id
    AND d.attempt = r.attempt AND d.worker IS NOT DISTINCT FROM r.worker AND d.state = 'pending'
    AND (
      SELECT h.failures FROM webhook_health AS h
      WHERE h.webhook_id = d.webhook_id AND h.environment_id = d.environment_id
    ) IS NULL
  RETURNING d.delivery_id, d.environment_id, d.webhook_id, r.failed,
    (r.after IS NULL)::integer AS succeeded, r.figures || CASE WHEN r.after IS NULL THEN
      {delivery_time_record("d.created_at", "coalesce($1, now())")} ELSE '' END AS figures
), counted AS (
  INSERT INTO statistics AS s ({COLUMNS})
  SELECT webhook_id, environment_id, date_trunc('minute', coalesce($1, now())), $29::uuid, 1,
    count(*) - sum(failed), sum(failed), 0, sum(succeeded), 0, 0, 0, string_agg(figures, '')
  FROM ended GROUP BY webhook_id, environment_id
  {ADD_UP}
), logged AS (
  INSERT INTO attempts (next_attempt_at, phases, {", ".join(LOGGED)})
  SELECT coalesce($1::timestamptz, now()) + after, {phases}, {", ".join(LOGGED)}
  FROM unnest(
    $7::interval[], $8::uuid[], $9::uuid[], $10::uuid[], $11::uuid[], $12::text[], $13::text[],
    $14::integer[], $15::text[], $16::timestamptz[], $17::bigint[], $18::text[], $19::text[],
    $20::text[], $21::text[], $22::text[], $23::integer[], $24::text[], $25::bytea[],
    $26::boolean[], $27::text[]{array}
  ) AS a (after, {", ".join(LOGGED)}{", phases" if array else ""})
  WHERE (a.delivery_id IN (SELECT delivery_id FROM ended)) IS TRUE
)
SELECT delivery_id, NULL::uuid, NULL::timestamptz, NULL::uuid, NULL::bytea FROM ended
UNION ALL
SELECT * FROM counted WHERE octet_length(figures) > {MAX_FIGURES}
"""  # noqa: S608 - the columns' names are ours


FINISH: Final = _finish_statement()
_FINISH_WITH_PHASES: Final = _finish_statement("phases", ", $30::text[]")


class PostgresDeliveryStore(SqlDeliveryStore[PostgresDatabase]):
    """Keeps events and deliveries in a PostgreSQL database."""

    async def store(self, plan: IngestPlan) -> Mapping[EventKey, Arrival] | None:
        """Store the events that are new with their deliveries, unless something has changed."""
        if plan.is_ordered or not self._database.has_session_settings:
            return await super().store(plan)
        dialect, events = self._database.dialect, sorted(plan.events, key=INGEST_ORDER)
        has_skips = any(new.state is not DeliveryState.PENDING for new in plan.deliveries)
        async with self._database.pool.lend() as connection:
            values = (
                plan.webhooks_revision,
                None if dialect.has_server_time else await dialect.now(connection),
                plan.worker,
                plan.lease,
                *event_columns(events),
                *delivery_columns(plan.deliveries),
                *([traceparents(events)] if plan.traced else ()),
            )
            run = partial(self._database.pool.commits.run, driver_of(connection))
            if has_skips:
                with self._statistics.writers.lend() as writer:
                    statement = _STORE_TRACED_WITH_SKIPS if plan.traced else _STORE_WITH_SKIPS
                    rows = await run(statement, *values, writer)
            else:
                rows = await run(_STORE_TRACED if plan.traced else STORE, *values)
            if rows[0][0] != plan.webhooks_revision:
                return None
            new = {(environment_id, event_id) for _, environment_id, event_id in rows if event_id}
            old = [stored for stored in events if stored.event.key not in new]
            known_events = await find_events(connection, old) if old else {}
            if not new:
                # The statement wrote nothing, so its commit has not waited for what was found.
                await self._database.pool.commit(connection, CONFIRM)
        # What retention has deleted since was known all the same.
        there = {
            key: Arrival.DUPLICATE if arrival is Arrival.NEW else arrival
            for key, arrival in arrivals(old, known_events).items()
        }
        keys = (stored.event.key for stored in plan.events)
        return {key: there.get(key, Arrival.NEW) for key in keys}

    @retry_lost_transaction
    async def finish(
        self,
        results: Sequence[AttemptResult],
        interruption_delay: timedelta,
        breaker: CircuitBreaker = NO_BREAKER,
    ) -> Sequence[Fence]:
        """Log attempts that ended and write what happens to their deliveries.

        A few that succeeded, or are to be retried and say nothing of their receiver, take a single
        statement. What it leaves, since a fence does not hold, a delivery had ended or its webhook
        is not healthy, is looked at row by row. So are those that others wait for.
        """
        if any(result.ordering_key is not None for result in results):
            in_line = [result for result in results if result.ordering_key is not None]
            others = [result for result in results if result.ordering_key is None]
            fenced = await self._finish_in_steps(in_line, interruption_delay, breaker)
            if others:
                fenced = [*fenced, *await self.finish(others, interruption_delay, breaker)]
            return fenced
        if self._database.has_session_settings and len(results) <= _FEW:
            results = await self._finish_few(results, breaker)
        if not all(map(is_success, results)):
            return await self._finish_in_steps(results, interruption_delay, breaker)
        if not results:
            return []
        dialect, counts = self._database.dialect, CountsByWebhook()
        async with self._statistics.write_transaction() as (connection, writer):
            # As nearly all are: without a look at the rows.
            now = await dialect.now(connection)
            places = await dialect.succeed(connection, [result.fence for result in results], now)
            attempts = {place: results[place].attempt for place in sorted(places)}
            await dialect.log_attempts(connection, [*attempts.values()])
            for place, attempt in attempts.items():
                counted = counts.of(attempt.environment_id, attempt.webhook_id)
                counted.count_attempt(attempt)
                if (delivery_time := places[place]) is not None:
                    counted.count_end(DeliveryState.SUCCEEDED, delivery_time)
            await self._statistics.add(connection, counts, now, writer)
        left = [result for place, result in enumerate(results) if place not in places]
        return await self._finish_in_steps(left, interruption_delay, breaker) if left else []

    async def _finish_few(
        self, results: Sequence[AttemptResult], breaker: CircuitBreaker
    ) -> Sequence[AttemptResult]:
        """Log attempts and end their deliveries or put them off; return the results left to do."""
        # Once for each delivery, and in the order of their ids.
        first = {results[n].fence.delivery_id.int: n for n in reversed(range(len(results)))}
        eligible = {
            place: results[place]
            for _, place in sorted(first.items())
            if results[place].attempt.outcome is not AttemptOutcome.INTERRUPTED
            and isinstance(results[place].next_step, Succeeded | Retry)
            and not (breaker.policy.is_on and counts_as_failure(results[place].attempt))
        }
        if not eligible:
            return results
        ends = [
            (
                *(result.fence.delivery_id, result.fence.environment_id),
                *(result.fence.attempt, result.fence.worker),
                int(result.attempt.outcome is AttemptOutcome.FAILED),
                result.next_step.after if isinstance(result.next_step, Retry) else None,
            )
            for result in eligible.values()
        ]
        attempts = [attempt_row(result.attempt) for result in eligible.values()]
        figures = [encode_attempt(result.attempt) for result in eligible.values()]
        phases = [
            None if result.attempt.phases is REUSED else phases_text(result.attempt.phases)
            for result in eligible.values()
        ]
        has_phases = phases.count(None) < len(phases)
        dialect, writers = self._database.dialect, self._statistics.writers
        async with self._database.pool.lend() as connection:
            run = partial(self._database.pool.commits.run, driver_of(connection))
            with writers.lend() as writer:
                rows = await run(
                    _FINISH_WITH_PHASES if has_phases else FINISH,
                    None if dialect.has_server_time else await dialect.now(connection),
                    *columns(ends, 6),
                    *columns(attempts, len(LOGGED)),
                    figures,
                    writer,
                    *([phases] if has_phases else ()),
                )
                for *key, long_figures in rows:
                    if long_figures is not None:
                        await run(COMPACT, *key, long_figures, compact(long_figures))
        ended = {delivery_id for delivery_id, *_, long_figures in rows if long_figures is None}
        done = {n for n, result in eligible.items() if result.fence.delivery_id in ended}
        return [result for place, result in enumerate(results) if place not in done]
