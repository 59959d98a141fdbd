"""On SQLite writers take turns: others come between what one looks at and what one writes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from notification_adapters.memory import ManualClock
from notification_adapters.sql.sqlite import open_sqlite
from notification_adapters.sql.sqlite.database import open_database
from notification_core.concurrency.ids import IdGenerator
from tests.adapters.interleaving import orders
from tests.adapters.two_at_once import ACTS, PAIRS, Stage
from tests.support.postgres_server import CIPHER
from tests.support.sqlite_template import make_sqlite

STOPS = ("look", "write")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Open a file three times, as so many processes would."""
    clock, path = ManualClock(), tmp_path / "shared.sqlite"
    ids = IdGenerator(clock)
    await make_sqlite(path)
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(open_sqlite(path, CIPHER, clock, ids))
        databases = [await stack.enter_async_context(open_database(path, clock)) for _ in range(2)]
        yield Stage(clock, ids, storage, databases)


async def test_whoever_writes_between_a_look_and_its_write(stage: Stage) -> None:
    for begins, one, other in PAIRS:
        steps = [ACTS[name].transactions + ACTS[name].looks_first for name in (one, other)]
        for order in orders(*steps):
            await stage.in_this_order(begins, (one, other), (STOPS, STOPS), order)
