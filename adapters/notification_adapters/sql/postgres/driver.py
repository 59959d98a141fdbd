"""Prepared statements straight to asyncpg, for the steps whose cost counts.

A statement through SQLAlchemy costs a greenlet and a result object beside it. This hands over
lists, one for each column of a batch, and gives plain rows back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import RawRow
from notification_adapters.sql.postgres.server import PostgresConnection
from notification_adapters.sql.statements import ResultRow, Statement


async def fetch(connection: AsyncConnection, statement: str, *values: object) -> list[RawRow]:
    """Run one statement and return all its rows."""
    return cast("list[RawRow]", await driver_of(connection).fetch(statement, *values))


async def read(
    connection: AsyncConnection,
    statement: Statement,
    values: Mapping[str, object],
    seconds: float | None = None,
) -> list[ResultRow]:
    """Run a statement that reads and return its rows; raise TimeoutError after so many seconds."""
    compiled = statement.compiled(connection.dialect)
    bound = compiled.values(values)
    return compiled.rows(await driver_of(connection).fetch(compiled.text, *bound, timeout=seconds))


async def run(connection: AsyncConnection, statement: str, *values: object) -> None:
    """Run one statement that gives no rows; several at once, without values, are a script."""
    await driver_of(connection).execute(statement, *values)


async def copy(
    connection: AsyncConnection, table: str, names: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    """Insert rows by COPY: for many columns that is half of what an array for each costs."""
    await driver_of(connection).copy_records_to_table(table, records=rows, columns=names)


def columns(rows: Iterable[Sequence[object]], width: int) -> Sequence[Sequence[Any]]:
    """Return rows as ``width`` columns, for ``unnest``."""
    return [*zip(*rows, strict=True)] or [()] * width


def driver_of(connection: AsyncConnection) -> PostgresConnection:
    """Return asyncpg's own connection."""
    # AsyncConnection.get_raw_connection() does the same through a greenlet.
    raw = connection.sync_connection
    assert raw is not None  # noqa: S101 - for the type checker: the connection is open
    return cast("PostgresConnection", raw.connection.driver_connection)
