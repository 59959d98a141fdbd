"""The responses to requests that may be sent once more, on SQL."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.statements import Statement
from notification_adapters.sql.stores.request_records import INSTALLATION, RequestRecordRows
from notification_adapters.sql.tables import idempotent_responses
from notification_core.model.request_records import StoredResponse
from notification_core.ports.idempotency import IdempotencyStore

_r = idempotent_responses.c
_FIND = Statement(
    sa.select(idempotent_responses).where(
        _r.request == sa.bindparam("request"),
        _r.environment_id == sa.bindparam("environment_id"),
        _r.responded_at > sa.bindparam("since"),
    )
)


class SqlIdempotencyStore(IdempotencyStore):
    """Finds and forgets kept responses in a SQL database."""

    def __init__(self, database: Database, records: RequestRecordRows) -> None:
        self._database = database
        self._records = records

    async def find(
        self, environment_id: UUID | None, request: str, since: datetime
    ) -> StoredResponse | None:
        """Return what a request was answered after ``since``, if it was."""
        rows = await self._database.fetch(
            _FIND, request=request, environment_id=environment_id or INSTALLATION, since=since
        )
        if not rows:
            return None
        # The response acknowledges the first request's effect again.
        async with self._database.write_transaction() as connection:
            await self._database.confirm_found(connection)
        return self._records.read_response(rows[0])

    async def delete_before(self, before: datetime, limit: int) -> int:
        """Forget answers that were given until then; return how many, at most ``limit``."""
        old = sa.select(_r.request).where(_r.responded_at <= before).limit(limit)
        # A look through a reader first, so that a writer is not kept waiting for nothing.
        async with self._database.read_transaction() as connection:
            if (await connection.execute(old.limit(1))).first() is None:
                return 0
        forgotten = sa.delete(idempotent_responses).where(
            _r.request.in_(old), _r.responded_at <= before
        )
        async with self._database.write_transaction() as connection:
            return (await connection.execute(forgotten)).rowcount
