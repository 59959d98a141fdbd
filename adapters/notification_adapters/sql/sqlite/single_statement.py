"""Ordinary work in one trip to the driver's thread each: a transaction of its own.

A trip is two switches of thread, and each waits for the interpreter's lock: that is most of what a
small statement costs here.
"""

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from notification_adapters.sql.database import SingleStatement
from notification_adapters.sql.dialect import Lease
from notification_adapters.sql.sqlite.driver import Value, as_json
from notification_adapters.sql.sqlite.ingest import (
    ADD_DELIVERY,
    ADD_EVENT,
    FIND_EVENTS,
    REVISION,
    delivery_rows,
    event_row,
    known_events_of,
)
from notification_adapters.sql.sqlite.results import LOG, attempt_row
from notification_adapters.sql.tables import to_microseconds
from notification_core.model.delivery import AttemptOutcome, AttemptResult, NewDelivery, Succeeded
from notification_core.model.event import Arrival, EventKey, KnownEvent, arrivals
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import IngestPlan

# What had ended before stays as it is, and only loses its worker.
SUCCEED: Final = """
UPDATE deliveries SET worker = NULL, leased_until = NULL, interruptions = 0,
  ended_at = CASE state WHEN 'pending' THEN ? ELSE ended_at END,
  state = CASE state WHEN 'pending' THEN 'succeeded' ELSE state END
WHERE delivery_id = ? AND environment_id = ? AND attempt = ? AND worker = ?
"""

T = TypeVar("T")

Row = Sequence[Value]


class Transact(Protocol):
    """Does work as the one transaction that may write, in one trip to the driver's thread."""

    @abstractmethod
    async def __call__(self, work: Callable[[sqlite3.Connection], T], /) -> T:
        """Return what the work returned, once that is committed."""


class SqliteSingleStatement(SingleStatement):
    """What SQLite does in one trip."""

    def __init__(self, transact: Transact, clock: Clock) -> None:
        self._transact = transact
        self._clock = clock

    async def store(self, planned: IngestPlan) -> Mapping[EventKey, Arrival] | None:
        """Store the events that are new with their deliveries, unless something has changed."""
        now = self._clock.now()
        stored_at = to_microseconds(now)
        rows = delivery_rows(planned.deliveries, Lease(planned.worker, now, now + planned.lease))
        known_events = await self._transact(
            partial(
                _store,
                planned.webhooks_revision,
                {stored.event.key: event_row(stored, stored_at) for stored in planned.events},
                planned.deliveries,
                rows,
            )
        )
        return None if known_events is None else arrivals(planned.events, known_events)

    async def finish(self, results: Sequence[AttemptResult]) -> Sequence[AttemptResult]:
        """End deliveries that have succeeded, if all have; return the results left to do."""
        for result in results:
            succeeded = result.attempt.outcome is AttemptOutcome.SUCCEEDED
            if not succeeded or not isinstance(result.next_step, Succeeded):
                return results
        ended_at = to_microseconds(self._clock.now())
        fences = [
            (ended_at, f.delivery_id.hex, f.environment_id.hex, f.attempt, f.worker.hex)
            for f in (result.fence for result in results)
        ]
        attempts = [attempt_row(result.attempt) for result in results]
        ended = await self._transact(partial(_succeed, fences, attempts))
        return [result for place, result in enumerate(results) if place not in ended]


def _store(
    webhooks_revision: int,
    events: Mapping[EventKey, Row],
    deliveries: Sequence[NewDelivery],
    rows: Sequence[Row],
    raw: sqlite3.Connection,
) -> Mapping[EventKey, KnownEvent] | None:
    (number,) = raw.execute(REVISION).fetchone()
    if number != webhooks_revision:
        return None
    old = {key for key, row in events.items() if not raw.execute(ADD_EVENT, row).rowcount}
    if not old:
        raw.executemany(ADD_DELIVERY, rows)
        return {}
    of_new = zip(deliveries, rows, strict=True)
    raw.executemany(ADD_DELIVERY, [row for new, row in of_new if new.event_key not in old])
    ids = as_json({event_id for _, event_id in old})
    return known_events_of(raw.execute(FIND_EVENTS, (ids,)).fetchall(), old)


def _succeed(
    fences: Sequence[Row], attempts: Sequence[Row], raw: sqlite3.Connection
) -> Collection[int]:
    """End deliveries by their fences; return the places of those that were held."""
    ended = [place for place, row in enumerate(fences) if raw.execute(SUCCEED, row).rowcount]
    raw.executemany(LOG, [attempts[place] for place in ended])
    return set(ended)
