"""Pages of rows: one look of a bounded length by an index, of which some rows are shown."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_core.model.read_models import MOST_LOOKED_AT


def length_of_look(limit: int, *, is_selective: bool) -> int:
    """Return how many rows a page looks at: one more than it shows tells whether there are more."""
    return MOST_LOOKED_AT if is_selective else limit + 1


async def end_of_look(
    connection: AsyncConnection, looked_at: sa.Subquery, place: Sequence[sa.ColumnElement[Any]]
) -> sa.Row[Any] | None:
    """Return the place of the last row looked at; None where there were no more to look at."""
    places = sa.select(*place).order_by(*(column.desc() for column in place))
    last = places.select_from(looked_at).offset(MOST_LOOKED_AT - 1).limit(1)
    return (await connection.execute(last)).first()
