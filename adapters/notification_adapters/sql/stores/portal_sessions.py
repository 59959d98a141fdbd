"""The store of portal sessions on SQL."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from attrs import asdict

from notification_adapters.sql.database import Database
from notification_adapters.sql.statements import ResultRow, Statement
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_adapters.sql.tables import portal_sessions
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.errors import PortalSessionNotFound
from notification_core.model.caller import Scope
from notification_core.model.portal_session import PortalSession
from notification_core.model.request_records import RequestRecords
from notification_core.ports.portal_sessions import PortalSessionStore

_p = portal_sessions.c

# Made once: every page of a portal asks this.
_FIND = Statement(
    sa.select(portal_sessions).where(
        _p.session_id == sa.bindparam("session_id"),
        _p.environment_id == sa.bindparam("environment_id"),
    )
)


class SqlPortalSessionStore(PortalSessionStore):
    """Keeps portal sessions in a SQL database."""

    def __init__(self, database: Database, records: RequestRecordRows) -> None:
        self._database = database
        self._records = records

    @retry_lost_transaction
    async def add(self, session: PortalSession, records: RequestRecords = ()) -> None:
        """Store a new session."""
        row = {**asdict(session), "scope": session.scope.value}
        async with self._database.write_transaction() as connection:
            await self._records.write(connection, records)
            await connection.execute(sa.insert(portal_sessions), row)

    async def find(self, environment_id: UUID, session_id: UUID) -> PortalSession:
        """Return a session."""
        rows = await self._database.fetch(
            _FIND, session_id=session_id, environment_id=environment_id
        )
        if not rows:
            raise PortalSessionNotFound(session_id)
        return _session(rows[0])

    async def page(
        self, environment_id: UUID, now: datetime, limit: int, before: UUID | None = None
    ) -> Sequence[PortalSession]:
        """Return the sessions that have not expired, by falling id."""
        query = (
            sa.select(portal_sessions)
            .where(_p.environment_id == environment_id, _p.expires_at > now)
            .order_by(_p.session_id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(_p.session_id < before)
        async with self._database.query() as connection:
            return [_session(row) for row in await connection.execute(query)]

    @retry_lost_transaction
    async def change(
        self,
        environment_id: UUID,
        session_id: UUID,
        change: Callable[[PortalSession], PortalSession],
    ) -> PortalSession:
        """Replace the digests of a session; its row is locked meanwhile."""
        its = _p.session_id == session_id, _p.environment_id == environment_id
        locked = sa.select(portal_sessions).where(*its).with_for_update()
        async with self._database.write_transaction() as connection:
            row = (await connection.execute(locked)).one_or_none()
            if row is None:
                raise PortalSessionNotFound(session_id)
            changed = change(_session(row))
            digests = {
                "code_digest": changed.code_digest,
                "token_digest": changed.token_digest,
            }
            await connection.execute(sa.update(portal_sessions).where(*its).values(digests))
        return changed

    @retry_lost_transaction
    async def delete(
        self, environment_id: UUID, session_id: UUID, records: RequestRecords = ()
    ) -> None:
        """Delete a session."""
        its = _p.session_id == session_id, _p.environment_id == environment_id
        async with self._database.write_transaction() as connection:
            if not (await connection.execute(sa.delete(portal_sessions).where(*its))).rowcount:
                raise PortalSessionNotFound(session_id)
            await self._records.write(connection, records)


def _session(row: ResultRow) -> PortalSession:
    return PortalSession(
        session_id=row.session_id,
        environment_id=row.environment_id,
        scope=Scope(row.scope),
        name=row.name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        code_digest=row.code_digest,
        token_digest=row.token_digest,
    )
