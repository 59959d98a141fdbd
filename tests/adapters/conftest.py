"""What tests of several adapters begin with."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from notification_adapters.sql import SqlStorage
from tests.adapters.sql_storages import database, opened
from tests.conftest import require
from tests.support.postgres_server import (
    HOW_TO_GET_IT,
    OwnServer,
    PostgresServer,
    find_programs,
    started,
)
from tests.support.sqlite_template import make_sqlite


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    """Run a PostgreSQL that no other module's tests use: it may be frozen or lose its standby."""
    programs = find_programs()
    require(programs, HOW_TO_GET_IT)
    assert programs
    with started(programs) as server:
        yield server


@pytest.fixture
async def sqlite_storage(tmp_path: Path) -> AsyncIterator[SqlStorage]:
    """Open an empty SQLite database, ``database(tmp_path)``."""
    await make_sqlite(database(tmp_path))
    async with opened(tmp_path) as storage:
        yield storage


@pytest.fixture
async def postgres_storage(postgres: PostgresServer) -> AsyncIterator[SqlStorage]:
    """Open an empty PostgreSQL database."""
    async with postgres.database() as name, opened(postgres.server(name)) as storage:
        yield storage
