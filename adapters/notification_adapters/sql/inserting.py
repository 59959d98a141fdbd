"""Inserting a row that others may have inserted already: in the words of both engines."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_unless_there(
    connection: AsyncConnection, table: sa.Table, values: Mapping[str, object]
) -> bool:
    """Insert a row unless its key, or another unique value of it, is taken; tell whether it was.

    On PostgreSQL it waits for whoever is inserting the same at this moment.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    adding = insert(table).values(values).on_conflict_do_nothing().returning(sa.literal(1))
    return (await connection.execute(adding)).first() is not None
