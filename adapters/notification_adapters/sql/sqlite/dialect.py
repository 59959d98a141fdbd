"""SQLite's statements with its time, as one object."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.sqlite.claims import SqliteClaimStatements
from notification_adapters.sql.sqlite.driver import read, run_many
from notification_adapters.sql.sqlite.ingest import SqliteIngestStatements
from notification_adapters.sql.sqlite.ordering import SqliteOrderingStatements
from notification_adapters.sql.sqlite.results import SqliteResultStatements
from notification_adapters.sql.sqlite.statistics import SqliteStatisticsStatements
from notification_adapters.sql.statements import Bound, ResultRow, Statement
from notification_core.ports.clock import Clock


class SqliteDialect(
    SqliteIngestStatements,
    SqliteClaimStatements,
    SqliteResultStatements,
    SqliteStatisticsStatements,
    SqliteOrderingStatements,
):
    """The statements of SQLite, which go by this host's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def now(self, connection: AsyncConnection) -> datetime:  # noqa: ARG002 - the clock of SQLite is the host's
        """Return the clock's time."""
        return self._clock.now()

    async def read(
        self, connection: AsyncConnection, statement: Statement, **values: object
    ) -> Sequence[ResultRow]:
        """Run a statement that reads and return its rows."""
        return await read(connection, statement, values)

    async def write(self, connection: AsyncConnection, *bound: Bound) -> None:
        """Have statements run in the next trip."""
        for statement, values in bound:
            compiled = statement.compiled(connection.dialect)
            await run_many(connection, compiled.text, [compiled.values(values)])
