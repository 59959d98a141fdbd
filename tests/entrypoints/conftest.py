"""What tests of the entry points share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.entrypoints.api_services import Backstage, backstage
from tests.entrypoints.checked_api import CheckedClient, called


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Backstage]:
    """Give what stands behind an API, over storage of its own."""
    async with backstage(tmp_path) as opened:
        yield opened


@pytest.fixture
async def api(stage: Backstage) -> AsyncIterator[CheckedClient]:
    """Give a client of that API which holds every answer to the document."""
    async with called(stage.services) as client:
        yield client
