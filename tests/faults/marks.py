"""Marks that several experiments share."""

import pytest

postgres_when_long = pytest.mark.parametrize(
    "server", ["sqlite", pytest.param("postgres", marks=pytest.mark.long)], indirect=True
)
"""On a file always, and on PostgreSQL if there is time: what is broken does not depend on it."""
