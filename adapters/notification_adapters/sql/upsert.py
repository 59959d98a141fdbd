"""Inserting rows that others may have inserted already: in the words of both engines."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import dialects
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_if_absent(
    connection: AsyncConnection, table: sa.Table, values: Mapping[str, object]
) -> bool:
    """Insert a row unless its key, or another unique value of it, is taken; tell whether it was.

    On PostgreSQL it waits for whoever is inserting the same at this moment.
    """
    return bool(await insert_those_missing(connection, table, [values], sa.literal(1)))


async def insert_those_missing(
    connection: AsyncConnection,
    table: sa.Table,
    rows: Sequence[Mapping[str, object]],
    returned: sa.ColumnElement[Any],
) -> Collection[Any]:
    """Insert the rows of which no unique value is taken; return what is ``returned`` of each.

    Rows that all others insert too are to come in the same order, or two may wait for each other.
    """
    # Both engines have an INSERT of their own; a process imports that of its own engine only.
    insert = getattr(dialects, connection.dialect.name).insert
    adding = insert(table).values(rows).on_conflict_do_nothing().returning(returned)
    values: Collection[Any] = (await connection.execute(adding)).scalars().all()
    return values
