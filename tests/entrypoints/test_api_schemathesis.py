"""Some thousand requests that schemathesis makes up from the document, right and broken.

None may be answered with a 500, nor as the document does not say.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from notification_core.access import Scope
from notification_core.authentication import StoredKeys
from notification_core.issuing import ApiKeyDraft
from notification_entrypoints.api.callers import Callers
from tests.entrypoints.api_services import Backstage, on_sqlite
from tests.entrypoints.checked_api import served
from tests.entrypoints.example_world import furnish, replay

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
WITHOUT_LIMIT = 10**6

pytestmark = [
    pytest.mark.parametrize("stage", [on_sqlite], indirect=True),
    pytest.mark.timeout(300),  # some twenty seconds, where the machine is not busy
]


async def test_nothing_that_can_be_made_up_is_answered_as_the_document_does_not_say(
    stage: Backstage, tmp_path: Path
) -> None:
    keys = StoredKeys(stage.stores.api_keys, stage.services.clock)
    callers = Callers([keys], stage.services.clock, failures_at_once=WITHOUT_LIMIT)
    await furnish(stage)
    await replay(stage)
    issued = await stage.services.issuing.create(ApiKeyDraft("Everything", Scope.ADMIN, None))
    async with served(stage.but(callers=callers)) as url:
        code, report = await tried(f"{url}/api/openapi.json", issued.text, tmp_path)
    print(report)  # noqa: T201 - for whoever asks pytest for it: what was tried
    assert code == 0


async def tried(document: str, key: str, folder: Path) -> tuple[int | None, str]:
    """Let schemathesis try an API out; return how it ended, and what it tells."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
        *("run", document, "--header", f"Authorization: Bearer {key}", "--no-color"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()
