"""Making sure of environments, and for how long a response is believed."""

from uuid import UUID

import pytest

from notification_adapters.memory import ManualClock, MemoryStorage
from notification_adapters.memory.environments import MemoryEnvironmentDirectory
from notification_core.environments.directory import EXISTS_FOR, MISSING_FOR, Environments
from notification_core.errors import (
    DirectoryUnavailable,
    EnvironmentBeingErased,
    EnvironmentNotFound,
)
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT


@pytest.fixture
def clock(app: MemoryApp) -> ManualClock:
    return app.clock


@pytest.fixture
def directory() -> MemoryEnvironmentDirectory:
    return MemoryEnvironmentDirectory()


@pytest.fixture
def app(directory: MemoryEnvironmentDirectory) -> MemoryApp:
    return MemoryApp(directory=directory)


@pytest.fixture
def environments(app: MemoryApp) -> Environments:
    return app.environments


@pytest.fixture
def storage(app: MemoryApp) -> MemoryStorage:
    return app.storage


async def test_that_an_environment_exists_is_believed_for_a_minute(
    environments: Environments, directory: MemoryEnvironmentDirectory, clock: ManualClock
) -> None:
    directory.environment_ids.add(ENVIRONMENT)
    await environments.require(ENVIRONMENT)
    await clock.advance(EXISTS_FOR.total_seconds() - 1)
    directory.away = True
    await environments.require(ENVIRONMENT)
    assert directory.asked == [ENVIRONMENT]
    await clock.advance(1)
    with pytest.raises(DirectoryUnavailable):
        await environments.require(ENVIRONMENT)


async def test_that_one_is_missing_is_believed_for_some_seconds(
    environments: Environments, directory: MemoryEnvironmentDirectory, clock: ManualClock
) -> None:
    for _ in range(2):
        with pytest.raises(EnvironmentNotFound, match=str(ENVIRONMENT)):
            await environments.require(ENVIRONMENT)
    assert directory.asked == [ENVIRONMENT]
    directory.environment_ids.add(ENVIRONMENT)
    await clock.advance(MISSING_FOR.total_seconds())
    await environments.require(ENVIRONMENT)


async def test_that_nobody_can_tell_is_not_remembered(
    environments: Environments, directory: MemoryEnvironmentDirectory
) -> None:
    directory.away = True
    with pytest.raises(DirectoryUnavailable):
        await environments.require(ENVIRONMENT)
    directory.away = False
    directory.environment_ids.add(ENVIRONMENT)
    await environments.require(ENVIRONMENT)


async def test_of_many_environments_the_latest_are_remembered(
    environments: Environments, directory: MemoryEnvironmentDirectory
) -> None:
    many = [UUID(int=number) for number in range(10_001)]
    directory.environment_ids.update(many)
    for environment_id in [*many, many[-1], many[0]]:
        await environments.require(environment_id)
    assert directory.asked == [*many, many[0]]


async def test_nothing_is_made_for_an_environment_while_it_is_erased(
    environments: Environments,
    directory: MemoryEnvironmentDirectory,
    storage: MemoryStorage,
    clock: ManualClock,
) -> None:
    directory.environment_ids.add(ENVIRONMENT)
    await environments.require(ENVIRONMENT)
    await storage.erasures.begin(ENVIRONMENT, clock.now())
    with pytest.raises(EnvironmentBeingErased):
        await environments.require(ENVIRONMENT)
    assert (await storage.erasures.advance(ENVIRONMENT, 10)).is_last
    await environments.require(ENVIRONMENT)
