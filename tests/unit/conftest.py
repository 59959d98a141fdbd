"""What many tests of the core begin with."""

import pytest

from tests.support.assembly import MemoryApp


@pytest.fixture
def app() -> MemoryApp:
    """Return the use cases over an empty storage in memory."""
    return MemoryApp()
