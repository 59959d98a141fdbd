"""Pages of rows: one scan of a bounded length by an index, of which some rows are shown."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_core.concurrency.ids import earliest_id
from notification_core.model.read_models import MAX_EXAMINED, AttemptCriteria, DeliveryCriteria

_ALL_BELOW = UUID(int=2**128 - 1)
_ALL_FROM = UUID(int=0)


def rows_to_examine(limit: int, *, is_selective: bool) -> int:
    """Return how many rows a page examines: one more than it shows tells whether there are more."""
    return MAX_EXAMINED if is_selective else limit + 1


def ids_to_examine(
    criteria: AttemptCriteria | DeliveryCriteria, before: UUID | None, limit: int
) -> Mapping[str, object]:
    """Return ``least``, ``below`` and ``limit`` of a page that goes by falling ids.

    Ids tell the time, so that an index of ids serves the times too.
    """
    below = _ALL_BELOW if criteria.until is None else earliest_id(criteria.until)
    return {
        "least": _ALL_FROM if criteria.since is None else earliest_id(criteria.since),
        "below": below if before is None else min(below, before),
        "limit": rows_to_examine(limit, is_selective=criteria.is_selective),
    }


async def last_examined(
    connection: AsyncConnection, examined: sa.Subquery, place: Sequence[sa.ColumnElement[Any]]
) -> sa.Row[Any] | None:
    """Return the place of the last row examined; None where there were no more to examine."""
    places = sa.select(*place).order_by(*(column.desc() for column in place))
    last = places.select_from(examined).offset(MAX_EXAMINED - 1).limit(1)
    return (await connection.execute(last)).first()
