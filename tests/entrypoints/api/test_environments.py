"""Environments that the platform does not know, as callers of the API meet them."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from notification_adapters.memory.environments import MemoryEnvironmentDirectory
from tests.entrypoints.api_examples import (
    DRAFT,
    ENVIRONMENT,
    EVENT,
    SETTINGS,
    WEBHOOKS,
    create,
    publish,
)
from tests.entrypoints.api_services import Backstage, backstage, on_sqlite
from tests.entrypoints.checked_api import CheckedClient, called


@pytest.fixture
def directory() -> MemoryEnvironmentDirectory:
    return MemoryEnvironmentDirectory()


@pytest.fixture
async def stage(directory: MemoryEnvironmentDirectory, tmp_path: Path) -> AsyncIterator[Backstage]:
    async with backstage(on_sqlite(tmp_path), directory) as opened:
        yield opened


@pytest.fixture
async def api(stage: Backstage) -> AsyncIterator[CheckedClient]:
    async with called(stage.application) as client:
        yield client


async def test_in_an_unknown_environment_nothing_is_made(
    api: CheckedClient, stage: Backstage
) -> None:
    created = await api.post(WEBHOOKS, DRAFT)
    read = await api.get(SETTINGS)
    for refused in (created, read):
        assert (refused.status, refused.json["error_code"]) == (404, 1500)
        assert ENVIRONMENT in refused.json["message"]
    assert (await api.get(WEBHOOKS)).json == []
    assert not await stage.storage.signing_keys.keys_of([UUID(ENVIRONMENT)])


async def test_while_nobody_can_tell_nothing_is_made_either(
    api: CheckedClient, directory: MemoryEnvironmentDirectory
) -> None:
    directory.away = True
    for refused in (await api.post(WEBHOOKS, DRAFT), await api.get(SETTINGS)):
        assert (refused.status, refused.json["error_code"]) == (503, 1904)
        assert refused.headers["Retry-After"] == "1"
    assert (await api.get(WEBHOOKS)).json == []


async def test_what_is_wrong_with_a_webhook_is_said_without_asking(
    api: CheckedClient, directory: MemoryEnvironmentDirectory
) -> None:
    assert (await api.post(WEBHOOKS, {**DRAFT, "url": "ftp://example.com/"})).status == 400
    assert directory.asked == []


async def test_an_environment_that_has_keys_is_known_well_enough(
    api: CheckedClient, directory: MemoryEnvironmentDirectory
) -> None:
    directory.environment_ids.add(UUID(ENVIRONMENT))
    await create(api)
    first = await api.get(SETTINGS)
    directory.away = True
    directory.asked.clear()
    again = await api.get(SETTINGS)
    assert (again.status, again.json) == (200, first.json)
    assert directory.asked == []


async def test_publishing_asks_no_other_service(
    api: CheckedClient, directory: MemoryEnvironmentDirectory
) -> None:
    assert (await publish(api, EVENT)).status == 202
    assert directory.asked == []
