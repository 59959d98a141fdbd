"""Erasing environments, on SQL."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from notification_adapters.sql.database import Database
from notification_adapters.sql.statements import ResultRow, Statement
from notification_adapters.sql.stores import erasure_steps
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_adapters.sql.stores.webhook_rows import increment_revision
from notification_adapters.sql.tables import erasures, webhooks
from notification_adapters.sql.upsert import insert_if_absent
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.errors import ErasureNotFound
from notification_core.model.erasure import ErasedBatch, Erasure
from notification_core.model.request_records import RequestRecords
from notification_core.ports.erasures import ErasureStore

_e = erasures.c

_ERASURE = Statement(sa.select(erasures).where(_e.environment_id == sa.bindparam("environment_id")))


class SqlErasureStore(ErasureStore):
    """Erases environments from a SQL database."""

    def __init__(self, database: Database, records: RequestRecordRows) -> None:
        self._database = database
        self._records = records

    @retry_lost_transaction
    async def begin(
        self, environment_id: UUID, now: datetime, records: RequestRecords = ()
    ) -> tuple[Erasure, int]:
        """Begin an erasure, or return the one that runs; with the webhooks' revision."""
        new = {"environment_id": environment_id, "requested_at": now, "erased": 0}
        anew = (
            sa.update(erasures)
            .where(_e.environment_id == environment_id, _e.ended_at.is_not(None))
            .values(requested_at=now, erased=0, ended_at=None)
        )
        bury = (
            sa.update(webhooks)
            .where(webhooks.c.environment_id == environment_id, webhooks.c.deleted_at.is_(None))
            .values(deleted_at=now, updated_at=now, version=webhooks.c.version + 1)
        )
        async with self._database.write_transaction() as connection:
            begins = await insert_if_absent(connection, erasures, new)
            if begins or (await connection.execute(anew)).rowcount:
                await self._records.write(connection, records)
            await connection.execute(bury)
            dialect = self._database.dialect
            (row,) = await dialect.read(connection, _ERASURE, environment_id=environment_id)
            return _erasure(row), await increment_revision(connection)

    async def get(self, environment_id: UUID) -> Erasure:
        """Return the latest erasure of an environment."""
        for row in await self._database.fetch(_ERASURE, environment_id=environment_id):
            return _erasure(row)
        raise ErasureNotFound(environment_id)

    async def running(self) -> Collection[UUID]:
        """Return the environments whose erasure runs."""
        rows = await self._database.fetch(erasure_steps.RUNNING)
        return {row.environment_id for row in rows}

    @retry_lost_transaction
    async def advance(self, environment_id: UUID, limit: int) -> ErasedBatch:
        """Delete the next of what is stored of an environment, in one transaction."""
        async with self._database.write_transaction() as connection:
            return await erasure_steps.advance(
                connection, self._database.dialect, environment_id, limit
            )


def _erasure(row: ResultRow) -> Erasure:
    return Erasure(row.environment_id, row.requested_at, row.erased, row.ended_at)
