"""The delivery store on SQLite: ordinary work takes one trip to the driver's thread.

A trip is two switches of thread, and each waits for the interpreter's lock: that is most of what a
small statement costs here.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from notification_adapters.sql.instants import EPOCH, MICROSECOND
from notification_adapters.sql.sqlite.database import SqliteDatabase
from notification_adapters.sql.sqlite.driver import as_json
from notification_adapters.sql.sqlite.ingest import FIND_EVENTS, REVISION, known_events_of
from notification_adapters.sql.sqlite.rows import (
    ADD_DELIVERY,
    ADD_EVENT,
    ADD_TRACED_EVENT,
    LOG,
    attempt_row,
    delivery_rows,
    event_row,
    traced_event_row,
)
from notification_adapters.sql.sqlite.statistics import add_statistics, statistics_values
from notification_adapters.sql.stores.deliveries import SqlDeliveryStore
from notification_core.concurrency.ids import milliseconds_of
from notification_core.model.circuit_breaker import NO_BREAKER, CircuitBreaker
from notification_core.model.delivery import (
    AttemptOutcome,
    AttemptResult,
    DeliveryState,
    Fence,
    Succeeded,
)
from notification_core.model.event import Arrival, EventKey, KnownEvent, arrivals
from notification_core.model.statistics import CountsByWebhook, count_skips
from notification_core.ports.deliveries import IngestPlan

SUCCEED: Final = """
UPDATE deliveries
SET worker = NULL, leased_until = NULL, interruptions = 0, ended_at = ?, state = 'succeeded'
WHERE delivery_id = ? AND environment_id = ? AND attempt = ? AND worker = ? AND state = 'pending'
"""
# What had ended before stays as it is, and only loses its worker.
LET_GO: Final = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, interruptions = 0
WHERE delivery_id = ? AND environment_id = ? AND attempt = ? AND worker = ?
"""

# Nearly always there are none of any webhook.
UNHEALTHY: Final = """
SELECT EXISTS (SELECT 1 FROM webhook_health) AND EXISTS (
  SELECT 1 FROM json_each(?) AS w CROSS JOIN webhook_health AS h ON h.webhook_id = w.value
)
"""


class SqliteDeliveryStore(SqlDeliveryStore[SqliteDatabase]):
    """Keeps events and deliveries in an SQLite file."""

    async def store(self, plan: IngestPlan) -> Mapping[EventKey, Arrival] | None:
        """Store the events that are new with their deliveries, unless something has changed."""
        if plan.is_ordered:
            return await super().store(plan)
        at = self._database.clock.now()
        now = (at - EPOCH) // MICROSECOND
        until = now + plan.lease // MICROSECOND
        add_event, row_of = ADD_EVENT, event_row
        if plan.traced:
            add_event, row_of = ADD_TRACED_EVENT, traced_event_row
        events = {stored.event.key: row_of(stored, now) for stored in plan.events}
        deliveries = delivery_rows(plan.deliveries, plan.worker, now, until)
        counts = count_skips(plan.deliveries)

        def store_in_one_trip(raw: sqlite3.Connection) -> Mapping[EventKey, KnownEvent] | None:
            (revision,) = raw.execute(REVISION).fetchone()
            if revision != plan.webhooks_revision:
                return None
            old = {key for key, row in events.items() if not raw.execute(add_event, row).rowcount}
            if not old:
                raw.executemany(ADD_DELIVERY, deliveries)
                add_statistics(raw, skips)
                return {}
            of_new = [
                (new, row)
                for new, row in zip(plan.deliveries, deliveries, strict=True)
                if new.event_key not in old
            ]
            raw.executemany(ADD_DELIVERY, [row for _, row in of_new])
            if skips:
                new_skips = count_skips(new for new, _ in of_new)
                add_statistics(raw, statistics_values(new_skips, at, writer))
            ids = as_json({event_id for _, event_id in old})
            return known_events_of(raw.execute(FIND_EVENTS, (ids,)).fetchall(), old)

        with self._statistics.writers.lend() as writer:
            skips = statistics_values(counts, at, writer)
            known_events = await self._database.writer.transact(store_in_one_trip)
        return None if known_events is None else arrivals(plan.events, known_events)

    async def finish(
        self,
        results: Sequence[AttemptResult],
        interruption_delay: timedelta,
        breaker: CircuitBreaker = NO_BREAKER,
    ) -> Sequence[Fence]:
        """Log attempts that ended and write what happens to their deliveries.

        If all have succeeded, their webhooks are healthy and nothing waits for them, that
        is one trip, without a look at the rows.
        """
        for result in results:
            succeeded = result.attempt.outcome is AttemptOutcome.SUCCEEDED
            waited_for = result.ordering_key is not None
            if waited_for or not succeeded or not isinstance(result.next_step, Succeeded):
                return await super().finish(results, interruption_delay, breaker)
        at = self._database.clock.now()
        now = (at - EPOCH) // MICROSECOND
        fences = [
            (now, f.delivery_id.hex, f.environment_id.hex, f.attempt, f.worker.hex)
            for f in (result.fence for result in results)
        ]
        attempts = [attempt_row(result.attempt) for result in results]
        webhooks = as_json({result.attempt.webhook_id.hex for result in results})

        def succeed_in_one_trip(raw: sqlite3.Connection) -> Collection[int] | None:
            if raw.execute(UNHEALTHY, (webhooks,)).fetchone()[0]:
                return None
            held, counts = [], CountsByWebhook()
            for place, row in enumerate(fences):
                has_succeeded = raw.execute(SUCCEED, row).rowcount
                if not has_succeeded and not raw.execute(LET_GO, row[1:]).rowcount:
                    continue
                held.append(place)
                attempt = results[place].attempt
                counted = counts.of(attempt.environment_id, attempt.webhook_id)
                counted.count_attempt(attempt)
                if has_succeeded:
                    # Its id says when it was stored: RETURNING would double the statement's cost.
                    stored = milliseconds_of(attempt.delivery_id) * 1_000
                    counted.count_end(DeliveryState.SUCCEEDED, (now - stored) * MICROSECOND)
            raw.executemany(LOG, [attempts[place] for place in held])
            add_statistics(raw, statistics_values(counts, at, writer))
            return set(held)

        with self._statistics.writers.lend() as writer:
            held = await self._database.writer.transact(succeed_in_one_trip)
        if held is None:
            return await super().finish(results, interruption_delay, breaker)
        return [result.fence for place, result in enumerate(results) if place not in held]
