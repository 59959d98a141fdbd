"""What every directory of environments promises, and what ours over HTTP makes of bad answers."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from attrs import frozen

from notification_adapters.memory.environments import MemoryEnvironmentDirectory
from notification_adapters.project_management import ProjectManagementApi
from notification_core.errors import DirectoryUnavailable
from notification_core.ports.environments import EnvironmentDirectory
from tests.support.receivers import LOOPBACK, PlainResponse, ReceivedRequest, Receiver


@frozen
class Platform:
    """A platform that knows some environments, and the directory that is to be tested."""

    directory: EnvironmentDirectory
    environment_ids: set[UUID]


@pytest.fixture(params=["memory", "project management"])
async def platform(request: pytest.FixtureRequest) -> AsyncIterator[Platform]:
    if request.param == "memory":
        memory = MemoryEnvironmentDirectory()
        yield Platform(memory, memory.environment_ids)
        return
    environment_ids: set[UUID] = set()

    def respond(asked: ReceivedRequest) -> PlainResponse:
        return (
            200 if asked.path in {f"/api/environments/{each}" for each in environment_ids} else 404
        )

    async with Receiver(respond) as server:
        directory = ProjectManagementApi(f"{server.url}api/")
        yield Platform(directory, environment_ids)
        await directory.close()


async def test_an_environment_exists_or_not(platform: Platform) -> None:
    there, missing = uuid4(), uuid4()
    platform.environment_ids.add(there)
    assert await platform.directory.exists(there)
    assert not await platform.directory.exists(missing)


async def test_nobody_can_tell_while_memory_is_unavailable() -> None:
    directory = MemoryEnvironmentDirectory()
    directory.away = True
    with pytest.raises(DirectoryUnavailable):
        await directory.exists(uuid4())


class TestProjectManagementApi:
    @pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 403, 429, 500])
    async def test_any_other_response_tells_nothing(self, status: int) -> None:
        async with Receiver(lambda _: _pointing_elsewhere(status)) as server:
            with pytest.raises(DirectoryUnavailable, match=str(status)):
                await _ask(server.url)
            assert len(server.requests) == 1

    @pytest.mark.parametrize("trouble", [502, 503, 504, "reset"])
    async def test_a_passing_trouble_is_asked_again(self, trouble: PlainResponse) -> None:
        async with Receiver(trouble, trouble, 200) as server:
            assert await _ask(server.url)

    async def test_a_trouble_that_stays_ends_in_time(self) -> None:
        async with Receiver(503) as server:
            with pytest.raises(DirectoryUnavailable, match="503"):
                await _ask(server.url)
            assert len(server.requests) > 1

    async def test_a_server_that_does_not_answer_is_not_waited_for(self) -> None:
        async with Receiver("hang") as server:
            with pytest.raises(DirectoryUnavailable, match="does not answer"):
                await _ask(server.url)

    async def test_a_server_that_is_not_there_tells_nothing(self) -> None:
        async with Receiver() as server:
            url = server.url
        with pytest.raises(DirectoryUnavailable, match="does not answer"):
            await _ask(url)

    async def test_a_body_without_end_is_not_read(self) -> None:
        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(bytes(65_536))

        app = web.Application()
        app.router.add_get("/{any:.*}", endless)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        try:
            assert await _ask(f"http://{LOOPBACK}:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()


def _pointing_elsewhere(status: int) -> PlainResponse:
    return web.Response(status=status, headers={"Location": "/elsewhere"})


async def _ask(url: str) -> bool:
    directory = ProjectManagementApi(url)
    try:
        return await directory.exists(uuid4())
    finally:
        await directory.close()
