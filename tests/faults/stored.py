"""The state of a run's storage, read past the product: by queries of our own."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from attrs import frozen

from notification_adapters.sql.postgres.server import PostgresConnection
from tests.faults.history import (
    Stored,
    StoredAttempt,
    StoredCount,
    StoredDelivery,
    StoredEvent,
    StoredWebhook,
)

UNFINISHED = "SELECT count(*) FROM deliveries WHERE state = 'pending' OR worker IS NOT NULL"

_EVENTS = "SELECT event_id, environment_id, type, stored_at, body FROM events"
_WEBHOOKS = """
SELECT webhook_id, environment_id, events, created_at, deleted_at, retry FROM webhooks
"""
_DELIVERIES = """
SELECT delivery_id, webhook_id, environment_id, event_id, state, attempt, worker IS NOT NULL,
  reason, origin, ordering_key, coalesce(position, 0), failures
FROM deliveries
"""
_ATTEMPTS = """
SELECT delivery_id, attempt, outcome, started_at, duration_us, error_code FROM attempts
"""
_COUNTED = [
    *(("attempts", outcome) for outcome in ("succeeded", "failed", "interrupted")),
    *(("deliveries", state) for state in ("succeeded", "failed", "skipped", "cancelled")),
]
_SUMS = ", ".join(f"sum({kind}_{outcome})" for kind, outcome in _COUNTED)
_COUNTS = f"SELECT webhook_id, {_SUMS} FROM statistics GROUP BY webhook_id"  # noqa: S608 - of ours

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Row = Iterable[Any]


@frozen
class _Values:
    """How an engine writes ids and instants."""

    id: Callable[[Any], str]
    at: Callable[[Any], datetime]


def _of_microseconds(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


_IN_SQLITE = _Values(id=lambda stored: str(UUID(stored)), at=_of_microseconds)
_IN_POSTGRES = _Values(id=str, at=lambda at: at)


def read_sqlite(database: Path) -> Stored:
    """Read the state of an SQLite database, as it is or as its last process left it."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")  # one look at one state
        return Stored(
            events=list(_events(connection.execute(_EVENTS), _IN_SQLITE)),
            webhooks=list(_webhooks(connection.execute(_WEBHOOKS), _IN_SQLITE)),
            deliveries=list(_deliveries(connection.execute(_DELIVERIES), _IN_SQLITE)),
            attempts=list(_attempts(connection.execute(_ATTEMPTS), _IN_SQLITE)),
            counts=list(_counts(connection.execute(_COUNTS), _IN_SQLITE)),
        )


async def read_postgres(connection: PostgresConnection) -> Stored:
    """Read the state of a PostgreSQL database."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return Stored(
            events=list(_events(await connection.fetch(_EVENTS), _IN_POSTGRES)),
            webhooks=list(_webhooks(await connection.fetch(_WEBHOOKS), _IN_POSTGRES)),
            deliveries=list(_deliveries(await connection.fetch(_DELIVERIES), _IN_POSTGRES)),
            attempts=list(_attempts(await connection.fetch(_ATTEMPTS), _IN_POSTGRES)),
            counts=list(_counts(await connection.fetch(_COUNTS), _IN_POSTGRES)),
        )


def _events(rows: Iterable[_Row], values: _Values) -> Iterator[StoredEvent]:
    for event_id, environment_id, kind, stored_at, body in rows:
        digest = None if body is None else sha256(body).hexdigest()
        yield StoredEvent(event_id, values.id(environment_id), kind, values.at(stored_at), digest)


def _webhooks(rows: Iterable[_Row], values: _Values) -> Iterator[StoredWebhook]:
    for webhook_id, environment_id, events, created_at, deleted_at, retry in rows:
        yield StoredWebhook(
            values.id(webhook_id),
            values.id(environment_id),
            frozenset(json.loads(events)),
            values.at(created_at),
            None if deleted_at is None else values.at(deleted_at),
            None if retry is None else json.loads(retry)["max_retries"],
        )


def _deliveries(rows: Iterable[_Row], values: _Values) -> Iterator[StoredDelivery]:
    for delivery_id, webhook_id, environment_id, event_id, state, attempt, held, *why in rows:
        ids = values.id(delivery_id), values.id(webhook_id), values.id(environment_id)
        yield StoredDelivery(*ids, event_id, state, attempt, bool(held), *why)


def _attempts(rows: Iterable[_Row], values: _Values) -> Iterator[StoredAttempt]:
    for delivery_id, number, outcome, started_at, duration_us, error in rows:
        duration = None if duration_us is None else timedelta(microseconds=duration_us)
        yield StoredAttempt(
            values.id(delivery_id), number, outcome, values.at(started_at), duration, error
        )


def _counts(rows: Iterable[_Row], values: _Values) -> Iterator[StoredCount]:
    for webhook_id, *sums in rows:
        for (kind, outcome), count in zip(_COUNTED, sums, strict=True):
            yield StoredCount(values.id(webhook_id), kind, outcome, count)
