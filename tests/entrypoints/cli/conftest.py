"""What many tests of the command line begin with."""

from collections.abc import Iterator

import pytest

from tests.entrypoints.fake_api import FakeApi, fake_api


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """Run a stand-in for the API, and have the commands call it."""
    with fake_api() as api:
        monkeypatch.setenv("NOTIFICATION_API_URL", api.url)
        monkeypatch.delenv("NOTIFICATION_API_KEY", raising=False)
        yield api
