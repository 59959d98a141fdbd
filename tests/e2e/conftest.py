"""What tests of whole processes share."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.place import ServerPlace, place_on
from tests.support.postgres_server import PostgresServer


@pytest.fixture
async def place(postgres: PostgresServer) -> AsyncIterator[ServerPlace]:
    """Make an empty database for processes to share."""
    async with place_on(postgres) as place:
        yield place
