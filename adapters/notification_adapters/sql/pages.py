"""Pages of rows: one scan of a bounded length by an index, of which some rows are shown."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_core.model.read_models import MAX_EXAMINED


def rows_to_examine(limit: int, *, is_selective: bool) -> int:
    """Return how many rows a page examines: one more than it shows tells whether there are more."""
    return MAX_EXAMINED if is_selective else limit + 1


async def last_examined(
    connection: AsyncConnection, examined: sa.Subquery, place: Sequence[sa.ColumnElement[Any]]
) -> sa.Row[Any] | None:
    """Return the place of the last row examined; None where there were no more to examine."""
    places = sa.select(*place).order_by(*(column.desc() for column in place))
    last = places.select_from(examined).offset(MAX_EXAMINED - 1).limit(1)
    return (await connection.execute(last)).first()
