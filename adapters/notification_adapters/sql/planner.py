"""What keeps a planner from a plan that it should not take."""

from typing import Any

import sqlalchemy as sa


def off_index(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a column as a value that no index has.

    For a condition that a planner must not begin with: on a young table, of which it knows
    nothing, it takes any index that a condition fits, and then walks through all of it.
    """
    return sa.func.coalesce(column, column)
