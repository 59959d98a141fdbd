"""The accounts of a run as files of one folder, for the checker to be run on again.

``published.jsonl`` and ``seen.jsonl`` have a line each; ``allowed.json`` says how the run was set
up, and ``data`` holds the database.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from cattrs.preconf.json import JsonConverter, make_converter

from tests.faults.history import (
    Allowed,
    History,
    Published,
    Seen,
    Stored,
    StoredAttempt,
    StoredDelivery,
    StoredEvent,
    StoredWebhook,
)

T = TypeVar("T")

DATABASE = "data/notification-management.sqlite"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Row = tuple[object, ...]


def _converter() -> JsonConverter:
    return make_converter()


def write_history(folder: Path, history: History) -> None:
    """Leave the accounts of producer and receivers beside the data of a run."""
    converter = _converter()
    for name, items in (("published", history.published), ("seen", history.seen)):
        lines = (f"{converter.dumps(item)}\n" for item in items)
        (folder / f"{name}.jsonl").write_text("".join(lines))
    (folder / "allowed.json").write_text(converter.dumps(history.allowed))


def read_history(folder: Path) -> History:
    """Read what :func:`write_history` wrote, and the storage of the run."""
    return History(
        published=_read(folder / "published.jsonl", Published),
        seen=_read(folder / "seen.jsonl", Seen),
        stored=read_stored(folder / DATABASE),
        allowed=_converter().loads((folder / "allowed.json").read_text(), Allowed),
    )


def _read(path: Path, kind: type[T]) -> Sequence[T]:
    converter = _converter()
    return [converter.loads(line, kind) for line in path.read_text().splitlines()]


def read_stored(database: Path) -> Stored:
    """Read the state of an SQLite database, as it is or as its last process left it."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")  # one look at one state
        return Stored(
            events=list(_events(connection)),
            webhooks=list(_webhooks(connection)),
            deliveries=list(_deliveries(connection)),
            attempts=list(_attempts(connection)),
        )


def _events(connection: sqlite3.Connection) -> Iterator[StoredEvent]:
    rows = connection.execute("SELECT event_id, environment_id, type, stored_at, body FROM events")
    for event_id, environment_id, kind, stored_at, body in rows:
        digest = None if body is None else sha256(body).hexdigest()
        yield StoredEvent(event_id, _id(environment_id), kind, _at(stored_at), digest)


def _webhooks(connection: sqlite3.Connection) -> Iterator[StoredWebhook]:
    rows: Iterable[tuple[str, str, str, int, int | None]] = connection.execute(
        "SELECT webhook_id, environment_id, events, created_at, deleted_at FROM webhooks"
    )
    for webhook_id, environment_id, events, created_at, deleted_at in rows:
        yield StoredWebhook(
            _id(webhook_id),
            _id(environment_id),
            frozenset(_converter().loads(events, list[str])),
            _at(created_at),
            None if deleted_at is None else _at(deleted_at),
        )


def _deliveries(connection: sqlite3.Connection) -> Iterator[StoredDelivery]:
    rows = connection.execute(
        "SELECT delivery_id, webhook_id, environment_id, event_id, state, attempt, "
        "worker IS NOT NULL, reason, origin FROM deliveries"
    )
    for delivery_id, webhook_id, environment_id, event_id, state, attempt, held, *why in rows:
        ids = _id(delivery_id), _id(webhook_id), _id(environment_id)
        reason, origin = why
        yield StoredDelivery(
            *ids, event_id, state, attempt, held=bool(held), reason=reason, origin=origin
        )


def _attempts(connection: sqlite3.Connection) -> Iterator[StoredAttempt]:
    rows = connection.execute(
        "SELECT delivery_id, attempt, outcome, started_at, duration_us FROM attempts"
    )
    for delivery_id, number, outcome, started_at, duration_us in rows:
        duration = None if duration_us is None else timedelta(microseconds=duration_us)
        yield StoredAttempt(_id(delivery_id), number, outcome, _at(started_at), duration)


def _id(stored: str) -> str:
    """Return an id as headers write it."""
    return str(UUID(stored))


def _at(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
