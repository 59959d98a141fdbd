"""Ordinary work in one trip to the driver's thread each: a transaction of its own.

A trip is two switches of thread, and each waits for the interpreter's lock: that is most of what a
small statement costs here.
"""

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from notification_adapters.sql.database import SingleStatement
from notification_adapters.sql.dialect import KnownEvent, Lease
from notification_adapters.sql.sqlite import attempt_results
from notification_adapters.sql.sqlite import events as ingesting
from notification_adapters.sql.sqlite.driver import Value, bound
from notification_adapters.sql.sqlite.webhook_queries import CHANGES
from notification_adapters.sql.stores.attempt_results import is_success
from notification_adapters.sql.stores.ingest import arrivals
from notification_adapters.sql.tables import to_microseconds
from notification_core.model.delivery import AttemptResult, Fence
from notification_core.model.event import Arrival, EventKey
from notification_core.ports.clock import Clock
from notification_core.ports.deliveries import IngestPlan

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
        lease = Lease(planned.worker, now, now + planned.lease)
        rows = ingesting.delivery_rows(planned.deliveries, lease)
        known = await self._transact(
            partial(
                _store,
                planned.changes,
                ingesting.ids_of(planned.events),
                {one.event.key: ingesting.event_row(one, stored_at) for one in planned.events},
                [(one.event_key, row) for one, row in zip(planned.deliveries, rows, strict=True)],
            )
        )
        return None if known is None else arrivals(planned.events, known)

    async def finish(self, results: Sequence[AttemptResult]) -> Sequence[AttemptResult]:
        """End deliveries that have succeeded, if all have; return the results left to do."""
        if not all(map(is_success, results)):
            return results
        now = self._clock.now()
        fences = [result.fence for result in results]
        logged = [attempt_results.attempt_row(result.attempt) for result in results]
        ended = await self._transact(partial(_succeed, fences, logged, to_microseconds(now)))
        return [one for number, one in enumerate(results) if number not in ended]


def _store(
    changes: int,
    ids: str,
    events: Mapping[EventKey, Row],
    deliveries: Sequence[tuple[EventKey, Row]],
    raw: sqlite3.Connection,
) -> Mapping[EventKey, KnownEvent] | None:
    (number,) = raw.execute(CHANGES).fetchone()
    if number != changes:
        return None
    known = ingesting.known_of(raw.execute(ingesting.KNOWN, (ids,)).fetchall(), events.keys())
    raw.executemany(ingesting.ADD_EVENT, [row for key, row in events.items() if key not in known])
    raw.executemany(ingesting.ADD_DELIVERY, [row for key, row in deliveries if key not in known])
    return known


def _succeed(
    fences: Sequence[Fence], logged: Sequence[Row], ended_at: int, raw: sqlite3.Connection
) -> Collection[int]:
    rows = raw.execute(
        attempt_results.HELD, bound(attempt_results.HELD, (attempt_results.ids_of(fences),))
    ).fetchall()
    places = attempt_results.places_of(attempt_results.held_of(fences, rows))
    raw.executemany(attempt_results.SUCCEED, [(ended_at, handle) for handle in places])
    ended = set(places.values())
    raw.executemany(attempt_results.LOG, [logged[number] for number in sorted(ended)])
    return ended
