"""Statements straight to SQLite's driver, for the steps whose cost counts.

A statement through SQLAlchemy takes a trip as well, and builds a result object. This hands over
plain tuples and gives plain tuples back, so identifiers are 32 hex digits here and instants are
microseconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import RawRow
from notification_adapters.sql.sqlite.connections import SqliteConnection, driver_of
from notification_adapters.sql.statements import ResultRow, Statement

Value = str | int | bytes | None
Row = Sequence[Value]

_encode = msgspec.json.Encoder().encode


async def fetch(connection: AsyncConnection, statement: str, *values: Value) -> list[RawRow]:
    """Run one statement and return all its rows."""
    driver, bound = driver_of(connection), _bound(statement, values)
    if isinstance(driver, SqliteConnection):
        return await driver.run(lambda raw: raw.execute(statement, bound).fetchall())
    return [tuple(row) for row in await driver.execute_fetchall(statement, bound)]


async def read(
    connection: AsyncConnection, statement: Statement, values: Mapping[str, object]
) -> list[ResultRow]:
    """Run a statement that reads and return its rows."""
    compiled = statement.compiled(connection.dialect)
    return compiled.rows(await fetch(connection, compiled.text, *compiled.values(values)))


async def run_many(
    connection: AsyncConnection, statement: str, rows: Sequence[Sequence[Value]]
) -> None:
    """Run one statement for each row of values, by the next statement at the latest."""
    if not rows:
        return
    driver = driver_of(connection)
    values = [_bound(statement, row) for row in rows]
    if isinstance(driver, SqliteConnection):
        driver.put_off.append(lambda raw: raw.executemany(statement, values))
    else:
        await driver.executemany(statement, values)


def _bound(statement: str, values: Sequence[Value]) -> Any:
    """Return the values as the statement's placeholders want them, which are ``?`` or ``?1`` ….

    Python takes numbered ones for names: since 3.12 a sequence for them is deprecated.
    """
    if "?1" not in statement:
        return values
    return {str(number): value for number, value in enumerate(values, 1)}


def as_json(values: Iterable[object]) -> str:
    """Return a list for ``json_each``: the way to hand a set of keys to one statement."""
    return _encode(list(values)).decode()
