"""Dead letters for a server's SQLite file: it has no Kafka that they could come from."""

import json
import sqlite3
import uuid
from base64 import b64encode
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from tests.support.dead_letters import an_event_by_now

_INSERT: Final = "INSERT INTO dead_letters VALUES (?, ?, ?, 'job-events', ?, ?, ?, ?, ?, ?, ?)"
_NOT_JSON: Final = "The event is refused: body: This is not JSON: Expecting value: line 1 column 23"
_UNKNOWN: Final = (
    "The event is refused: event: Unknown event type 'job-archived'; the types are "
    "pipeline-created, pipeline-status-changed, pipeline-completed, job-created, job-completed."
)
_ARCHIVED: Final = {
    "event_id": "job-9-archived",
    "event": "job-archived",
    "data": {"job_id": "c2f1b7de-40a8-4f3b-8f6f-5b8e6d1a9b21", "files": [{"name": "a.glb"}]},
}


def add_letters(folder: Path, environment_id: UUID) -> Sequence[UUID]:
    """Store dead letters; return the ids: of JSON, of bytes, and of what is an event now."""
    archived = {**_ARCHIVED, "environment_id": str(environment_id)}
    letters = (
        (json.dumps(archived).encode(), _UNKNOWN, b"job-9"),
        (b'\xff\xfe{\x00"\x00e\x00v\x00e\x00n\x00t\x00"\x00', "body: This is not UTF-8.", None),
        (b'{"event":"job-created",}', _NOT_JSON, b"job-8"),
        (an_event_by_now(environment_id), "event: Unknown event type 'job-completed'.", b"job-7"),
    )
    (database,) = folder.glob("*.sqlite")
    now, ids = datetime.now(UTC), []
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        for number, (value, reason, key) in enumerate(letters):
            at = now - timedelta(minutes=7 * number)
            ids.append(UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62)))
            headers = json.dumps([["traceparent", b64encode(b"00-4bf92f35-01").decode()]])
            connection.execute(
                _INSERT,
                (
                    *(ids[-1].hex, uuid.uuid4().hex, reason, number % 3, 48120 - number),
                    *(int(at.timestamp() * 1000), key, value, headers),
                    int(at.timestamp() * 1_000_000),
                ),
            )
    return ids[0], ids[1], ids[3]
