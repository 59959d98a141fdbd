"""What tests of several adapters begin with."""

from collections.abc import Iterator

import pytest

from tests.conftest import require
from tests.support.postgres_server import HOW_TO_GET_IT, OwnServer, find_programs, started


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    """Run a PostgreSQL that no other module's tests use: it may be frozen or lose its standby."""
    programs = find_programs()
    require(programs, HOW_TO_GET_IT)
    assert programs
    with started(programs) as server:
        yield server
