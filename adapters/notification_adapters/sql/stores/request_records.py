"""What is kept of requests, as part of other stores' transactions; and the audit log on SQL."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from attrs import asdict
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import Dialect
from notification_adapters.sql.statements import Bound, ResultRow, Statement
from notification_adapters.sql.tables import audit, idempotent_responses, place_of
from notification_core.encryption.cipher import Cipher
from notification_core.errors import ResponseAlreadyStored
from notification_core.model.request_records import (
    KEPT_FOR,
    AuditEntry,
    RequestRecords,
    StoredResponse,
)
from notification_core.ports.audit import AuditLog

_r = idempotent_responses.c
_ADD_ENTRY = Statement(sa.insert(audit))

INSTALLATION: Final = UUID(int=0)
"""Stands for the installation, which is no environment: every row of these tables has one."""


class RequestRecordRows:
    """Writes what is kept of requests as part of other stores' transactions.

    The responses to requests that may be sent once more are encrypted, bound to their request.
    """

    def __init__(self, dialect: Dialect, cipher: Cipher) -> None:
        self._dialect = dialect
        self._cipher = cipher

    async def write(
        self,
        connection: AsyncConnection,
        records: RequestRecords,
        *beside: Bound,
        replaces: bool = False,
    ) -> None:
        """Write it; raise :class:`ResponseAlreadyStored` if the request has a response to be kept.

        One that ``replaces`` takes the place of what was kept when the effect began. On PostgreSQL
        a transaction that is answering the same request is waited for. What is to be written
        ``beside`` takes no trip of its own.
        """
        bound = [*beside]
        for record in records:
            match record:
                case StoredResponse():
                    await self._write_response(connection, record, replaces=replaces)
                case AuditEntry():
                    row = asdict(record)
                    row["environment_id"] = record.environment_id or INSTALLATION
                    bound.append((_ADD_ENTRY, row))
        if bound:
            await self._dialect.write(connection, *bound)

    async def _write_response(
        self, connection: AsyncConnection, response: StoredResponse, *, replaces: bool
    ) -> None:
        environment_id = response.environment_id or INSTALLATION
        of_the_request = sa.delete(idempotent_responses).where(
            _r.request == response.request, _r.environment_id == environment_id
        )
        outlived = of_the_request.where(_r.responded_at <= response.responded_at - KEPT_FOR)
        await connection.execute(of_the_request if replaces else outlived)
        place = place_of(_r.response, environment_id, response.request)
        row = {
            "request": response.request,
            "environment_id": environment_id,
            "fingerprint": response.fingerprint,
            "response": self._cipher.encrypt(response.response, place),
            "responded_at": response.responded_at,
        }
        try:
            await connection.execute(sa.insert(idempotent_responses), row)
        except IntegrityError as error:
            raise ResponseAlreadyStored("This request was answered already.") from error

    def read_response(self, row: ResultRow) -> StoredResponse:
        """Return the response that a row holds."""
        place = place_of(_r.response, row.environment_id, row.request)
        of_installation = row.environment_id == INSTALLATION
        return StoredResponse(
            environment_id=None if of_installation else row.environment_id,
            request=row.request,
            fingerprint=row.fingerprint,
            response=self._cipher.decrypt(row.response, place),
            responded_at=row.responded_at,
        )


class SqlAuditLog(AuditLog):
    """Reads the audit log in a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, environment_id: UUID | None, limit: int, before: UUID | None = None
    ) -> Sequence[AuditEntry]:
        """Return the entries of an environment by falling id, those below ``before`` only."""
        if environment_id == INSTALLATION:
            environment_id = None
        query = (
            sa.select(audit)
            .where(audit.c.environment_id == (environment_id or INSTALLATION))
            .order_by(audit.c.entry_id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(audit.c.entry_id < before)
        async with self._database.query() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [AuditEntry(**{**row, "environment_id": environment_id}) for row in rows]
