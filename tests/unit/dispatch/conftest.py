"""What the tests of the dispatcher begin with."""

from collections.abc import AsyncIterator

import pytest

from tests.support.assembly import MemoryApp
from tests.support.dispatching import dispatching


@pytest.fixture
async def app() -> AsyncIterator[MemoryApp]:
    """Return a process that dispatches over an empty storage in memory."""
    async with dispatching(MemoryApp()) as app:
        yield app
