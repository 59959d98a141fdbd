"""The store of console sessions on SQL."""

from uuid import UUID

import sqlalchemy as sa
from attrs import asdict

from notification_adapters.sql.database import Database
from notification_adapters.sql.installation_tables import console_sessions
from notification_adapters.sql.statements import Statement
from notification_adapters.sql.stores.api_keys import environments_text, read_environments
from notification_adapters.sql.stores.request_records import RequestRecordRows
from notification_core.concurrency.transactions import retry_lost_transaction
from notification_core.model.caller import Scope
from notification_core.model.console_session import ConsoleSession
from notification_core.model.request_records import RequestRecords
from notification_core.ports.console_sessions import ConsoleSessionStore

_c = console_sessions.c

# Made once: every page of the console asks this.
_FIND = Statement(sa.select(console_sessions).where(_c.session_id == sa.bindparam("session_id")))


class SqlConsoleSessionStore(ConsoleSessionStore):
    """Keeps console sessions in a SQL database."""

    def __init__(self, database: Database, records: RequestRecordRows) -> None:
        self._database = database
        self._records = records

    @retry_lost_transaction
    async def add(self, session: ConsoleSession, records: RequestRecords = ()) -> None:
        """Store a new session."""
        row = {
            **asdict(session, recurse=False),
            "scope": session.scope.value,
            "environments": environments_text(session.environments),
        }
        async with self._database.write_transaction() as connection:
            await self._records.write(connection, records)
            await connection.execute(sa.insert(console_sessions), row)

    async def find(self, session_id: UUID) -> ConsoleSession | None:
        """Return a session, None if there is none."""
        rows = await self._database.fetch(_FIND, session_id=session_id)
        if not rows:
            return None
        row = rows[0]
        return ConsoleSession(
            session_id=row.session_id,
            name=row.name,
            scope=Scope(row.scope),
            environments=read_environments(row.environments),
            credential=row.credential,
            token_digest=row.token_digest,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )

    @retry_lost_transaction
    async def delete(self, session_id: UUID, records: RequestRecords = ()) -> None:
        """Delete a session; ``records`` is written only if it was there."""
        deletion = sa.delete(console_sessions).where(_c.session_id == session_id)
        async with self._database.write_transaction() as connection:
            if (await connection.execute(deletion)).rowcount:
                await self._records.write(connection, records)
