"""What is kept of requests, as part of other stores' transactions; and the audit log on SQL."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.stores.idempotency import KeptAnswers
from notification_adapters.sql.tables import audit
from notification_core.model.request_records import AuditEntry, KeptAnswer, RequestRecords
from notification_core.ports.audit import AuditLog

# Stands for the installation, which is no environment: every row of the table has one.
_INSTALLATION = UUID(int=0)


class Keeping:
    """Writes what is kept beside an effect."""

    def __init__(self, answers: KeptAnswers) -> None:
        self._answers = answers

    async def write(
        self, connection: AsyncConnection, kept: RequestRecords, *, replaces: bool = False
    ) -> None:
        """Write it; raise :class:`AlreadyAnswered` if the request has an answer.

        One that ``replaces`` takes the place of what was kept when the effect began.
        """
        for each in kept:
            match each:
                case KeptAnswer():
                    await self._answers.keep(connection, each, replaces=replaces)
                case AuditEntry():
                    await connection.execute(sa.insert(audit), _columns(each))


class SqlAuditLog(AuditLog):
    """Reads the audit log in a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, environment_id: UUID | None, limit: int, before: UUID | None = None
    ) -> Sequence[AuditEntry]:
        """Return the entries of an environment by falling id, those below ``before`` only."""
        wanted = (
            sa.select(audit)
            .where(audit.c.environment_id == (environment_id or _INSTALLATION))
            .order_by(audit.c.entry_id.desc())
            .limit(limit)
        )
        if before is not None:
            wanted = wanted.where(audit.c.entry_id < before)
        async with self._database.query() as connection:
            return [_entry(row) for row in await connection.execute(wanted)]


def _entry(row: sa.Row[Any]) -> AuditEntry:
    return AuditEntry(
        entry_id=row.entry_id,
        environment_id=None if row.environment_id == _INSTALLATION else row.environment_id,
        at=row.at,
        actor=row.actor,
        address=row.address,
        action=row.action,
        subject=row.subject,
        request_id=row.request_id,
    )


def _columns(entry: AuditEntry) -> Mapping[str, object]:
    return {
        "entry_id": entry.entry_id,
        "environment_id": entry.environment_id or _INSTALLATION,
        "at": entry.at,
        "actor": entry.actor,
        "address": entry.address,
        "action": entry.action,
        "subject": entry.subject,
        "request_id": entry.request_id,
    }
