"""What tests of the entry points share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.entrypoints.api_services import Backstage, backstage, in_memory, on_sqlite
from tests.entrypoints.checked_api import CheckedClient, called


@pytest.fixture(params=[in_memory, on_sqlite])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backstage]:
    """Give what stands behind an API, over each kind of storage in turn."""
    async with backstage(request.param(tmp_path)) as opened:
        yield opened


@pytest.fixture
async def api(stage: Backstage) -> AsyncIterator[CheckedClient]:
    """Give a client of that API which holds every response to the document."""
    async with called(stage.application) as client:
        yield client
