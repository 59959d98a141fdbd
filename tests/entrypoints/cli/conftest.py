"""What many tests of the command line begin with."""

import time
from collections.abc import Iterator

import pytest

from tests.entrypoints.fake_api import FakeApi, fake_api


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the commands print as on a host in UTC, into a pipe, wherever the tests run."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        patch.delenv("COLUMNS", raising=False)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """Run a stand-in for the API, and have the commands call it."""
    with fake_api() as api:
        monkeypatch.setenv("NOTIFICATION_API_URL", api.url)
        monkeypatch.delenv("NOTIFICATION_API_KEY", raising=False)
        yield api
