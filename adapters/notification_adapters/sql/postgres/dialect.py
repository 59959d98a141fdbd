"""PostgreSQL's statements with its time, as one object."""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.postgres.claims import PostgresClaimStatements
from notification_adapters.sql.postgres.driver import fetch, read, run
from notification_adapters.sql.postgres.ingest import PostgresIngestStatements
from notification_adapters.sql.postgres.ordering import PostgresOrderingStatements
from notification_adapters.sql.postgres.results import PostgresResultStatements
from notification_adapters.sql.postgres.statistics import PostgresStatisticsStatements
from notification_adapters.sql.statements import Bound, ResultRow, Statement

Now = Callable[[AsyncConnection], Awaitable[datetime]]
"""Tells the storage's time inside a transaction."""

_REVISION_AND_TIME: Final = "SELECT revision, now() FROM webhooks_revision"
_PLACEHOLDER: Final = re.compile(r"\$(\d+)")


async def server_time(connection: AsyncConnection) -> datetime:
    """Return when the server began the transaction."""
    ((now,),) = await fetch(connection, "SELECT now()")
    return cast("datetime", now)


class PostgresDialect(
    PostgresIngestStatements,
    PostgresClaimStatements,
    PostgresResultStatements,
    PostgresOrderingStatements,
    PostgresStatisticsStatements,
):
    """The statements of PostgreSQL, which go by the server's clock unless another is given."""

    def __init__(self, now: Now = server_time) -> None:
        self._now = now
        self.has_server_time = now is server_time

    async def now(self, connection: AsyncConnection) -> datetime:
        """Return the server's time."""
        return await self._now(connection)

    async def read(
        self, connection: AsyncConnection, statement: Statement, **values: object
    ) -> Sequence[ResultRow]:
        """Run a statement that reads and return its rows."""
        return await read(connection, statement, values)

    async def write(self, connection: AsyncConnection, *bound: Bound) -> None:
        """Run statements as parts of one."""
        texts: list[str] = []
        values: list[object] = []
        for statement, given in bound:
            compiled = statement.compiled(connection.dialect)
            texts.append(compiled.text)
            values += compiled.values(given)
        await run(connection, _as_one(*texts), *values)

    async def revision_and_time(self, connection: AsyncConnection) -> tuple[int, datetime]:
        """Return the webhooks' revision and the server's time, in one trip where they can be."""
        if not self.has_server_time:
            return await self.webhooks_revision(connection), await self._now(connection)
        ((number, now),) = await fetch(connection, _REVISION_AND_TIME)
        return number, now


@lru_cache(maxsize=128)
def _as_one(*texts: str) -> str:
    """Return one statement of several, each with its placeholders behind those of the last."""
    parts: list[str] = []
    taken = 0
    for text in texts:
        parts.append(_PLACEHOLDER.sub(partial(_moved, taken), text))
        taken += max(map(int, _PLACEHOLDER.findall(text)), default=0)
    named = ", ".join(f"part_{number} AS ({part})" for number, part in enumerate(parts))
    return f"WITH {named} SELECT"


def _moved(by: int, placeholder: re.Match[str]) -> str:
    return f"${int(placeholder[1]) + by}"
