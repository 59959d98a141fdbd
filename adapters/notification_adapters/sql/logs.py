"""The log store on SQL."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from notification_adapters.sql.engine import Database
from notification_adapters.sql.tables import attempts
from notification_core.deliveries import (
    Attempt,
    AttemptError,
    ErrorCode,
    Outcome,
    ReceivedResponse,
    SentRequest,
)
from notification_core.ports.logs import LogStore

_headers = msgspec.json.Decoder(tuple[tuple[str, str], ...])


class SqlLogStore(LogStore):
    """Reads attempts from a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, environment_id: UUID, webhook_id: UUID, limit: int, before: UUID | None = None
    ) -> Sequence[Attempt]:
        """Return a webhook's attempts by falling ``log_id``, those below ``before`` only."""
        wanted = (
            sa.select(attempts)
            .where(attempts.c.webhook_id == webhook_id, attempts.c.environment_id == environment_id)
            .order_by(attempts.c.log_id.desc())
            .limit(limit)
        )
        if before is not None:
            wanted = wanted.where(attempts.c.log_id < before)
        async with self._database.reading() as connection:
            return [attempt_from(row) for row in await connection.execute(wanted)]


def attempt_from(row: sa.Row[Any]) -> Attempt:
    """Return the attempt that a row of the log holds."""
    duration = row.duration_us
    return Attempt(
        log_id=row.log_id,
        environment_id=row.environment_id,
        webhook_id=row.webhook_id,
        delivery_id=row.delivery_id,
        event_id=row.event_id,
        event_type=row.event_type,
        number=row.attempt,
        outcome=Outcome(row.outcome),
        started_at=row.started_at,
        error=_error(row),
        request=_request(row),
        response=_response(row),
        duration=None if duration is None else timedelta(microseconds=duration),
        next_attempt_at=row.next_attempt_at,
    )


def _error(row: sa.Row[Any]) -> AttemptError | None:
    if row.error_code is None:
        return None
    return AttemptError(ErrorCode(row.error_code), row.error_message)


def _request(row: sa.Row[Any]) -> SentRequest | None:
    if row.method is None:
        return None
    return SentRequest(row.method, row.url, _headers.decode(row.request_headers))


def _response(row: sa.Row[Any]) -> ReceivedResponse | None:
    if row.http_code is None:
        return None
    return ReceivedResponse(
        http_code=row.http_code,
        headers=_headers.decode(row.response_headers),
        body=row.response_body,
        truncated=row.truncated,
    )
