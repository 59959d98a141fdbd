"""Some thousand requests that schemathesis makes up from the document, right and broken.

None may return a 500, nor as the document does not say. Each is made alone, and after
others that gave what it names. ``API_FUZZ_EXAMPLES`` has it make up more.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from string import Template

import pytest

from notification_core.access.api_keys import ApiKeyDraft
from notification_core.access.authentication import StoredKeys
from notification_core.model.caller import Scope
from notification_core.ports.storage import Storage
from notification_entrypoints.api.security.authentication import Callers
from tests.entrypoints.api_services import (
    Backstage,
    backstage,
    on_postgres,
    on_sqlite,
)
from tests.entrypoints.checked_api import served
from tests.entrypoints.example_data import furnish, replay

CONFIGURATION = Template(Path(__file__).parents[1].joinpath("schemathesis.toml").read_text())
EXAMPLES = int(os.environ.get("API_FUZZ_EXAMPLES", "10"))
WITHOUT_LIMIT = 10**6


# Of the two PostgreSQL is the one that refuses more.
@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.long), "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[Storage]:
    """Each database in turn; its server is started before the test's loop runs."""
    if request.param == "postgres":
        return on_postgres(request.getfixturevalue("postgres"))
    return on_sqlite(tmp_path)


@pytest.fixture
async def stage(opened: AbstractAsyncContextManager[Storage]) -> AsyncIterator[Backstage]:
    """Give what stands behind an API."""
    async with backstage(opened) as stage:
        yield stage


async def test_nothing_that_can_be_made_up_is_answered_as_the_document_does_not_say(
    stage: Backstage, tmp_path: Path
) -> None:
    keys = StoredKeys(stage.storage.api_keys, stage.application.clock)
    callers = Callers([keys], stage.application.clock, failures_at_once=WITHOUT_LIMIT)
    await furnish(stage)
    await replay(stage)
    issued = await stage.application.api_keys.create(ApiKeyDraft("Everything", Scope.ADMIN, None))
    async with served(stage.but(credentials=[keys]), callers) as url:
        code, report = await tried(f"{url}/api/openapi.json", issued.secret_text, tmp_path)
    print(report)  # noqa: T201 - for whoever asks pytest for it: what was tried
    assert code == 0


async def tried(document: str, key: str, folder: Path) -> tuple[int | None, str]:
    """Let schemathesis try an API out; return how it ended, and what it tells."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(
        CONFIGURATION.substitute(examples=EXAMPLES, scenarios=max(EXAMPLES // 4, 1))
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)),
        *("run", document, "--header", f"Authorization: Bearer {key}", "--no-color"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()
