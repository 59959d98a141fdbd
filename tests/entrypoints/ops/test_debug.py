"""The debug pages: what they tell, to whom, and what they never tell."""

import asyncio
import sys
from asyncio import Event
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from notification_adapters.clock import SystemClock
from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.model.caller import Caller, Scope
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.api.security.authorization import Administrators
from notification_entrypoints.config.settings import load_settings
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.ops.debug import add_debug_pages
from notification_entrypoints.ops.server import Info, Readiness, ops_app

Client = TestClient[web.Request, web.Application]
Start = Callable[..., "asyncio.Future[Client]"]

SECRET = "0123456789abcdef0123456789abcdef"
PAGES = ("", "tasks", "threads", "profile?seconds=1", "memory?seconds=1", "settings")


@asynccontextmanager
async def served(
    variables: Mapping[str, str], callers: Callers | None = None
) -> AsyncIterator[Client]:
    """Give a client of an ops server with these settings, which listens on loopback in truth."""
    settings = load_settings({"DB_ENCRYPTION_SECRET": SECRET, **variables})
    info = Info("1", "", "test", "p", "127.0.0.1")
    app = ops_app(Metrics("1", ""), Readiness({}), info, stopping=Event())
    administrators = Administrators()
    add_debug_pages(app, settings, administrators.refusal)
    if callers is not None:
        administrators.opened(callers)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with served({"DEBUG": "true", "DB_AUTH_PASS": "hunter2"}) as client:
        yield client


async def text(client: Client, page: str) -> str:
    async with client.get(f"/debug/{page}") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        assert response.headers["Cache-Control"] == "no-store"
        return await response.text()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"DEBUG": "false"},
        {"DEBUG": "true", "OPS_SERVER_HOST": "0.0.0.0"},  # noqa: S104 - this is what is refused
        {"DEBUG": "true", "OPS_SERVER_HOST": "ops.example.com"},
        {"DEBUG": "true", "POD_IP": "10.0.0.7"},
    ],
)
async def test_is_not_there_unless_asked_for_and_only_where_nobody_else_can_call(
    variables: dict[str, str],
) -> None:
    async with served(variables) as client:
        for page in PAGES:
            async with client.get(f"/debug/{page}") as response:
                assert response.status == 404
                assert (await response.json())["http_code"] == 404


async def test_a_name_that_somebody_pointed_at_loopback_is_rejected(client: Client) -> None:
    for page in PAGES:
        async with client.get(f"/debug/{page}", headers={"Host": "evil.example:3616"}) as response:
            assert response.status == 404


OUTSIDE = {"DEBUG": "true", "OPS_SERVER_HOST": "0.0.0.0"}  # noqa: S104 - nothing binds
ADMINISTRATOR = {"Authorization": "Bearer anna"}
CALLERS = {
    "anna": Caller("anna", Scope.ADMIN),
    "ben": Caller("ben", Scope.WRITE),
    "cleo": Caller("cleo", Scope.ADMIN, frozenset({UUID(int=1)})),
}


async def test_on_a_network_an_administrator_of_everything_may_look_and_nobody_else() -> None:
    callers = Callers((MemoryCredentials(CALLERS),), SystemClock())
    async with served(OUTSIDE, callers) as client:
        for page in PAGES:
            statuses = {None: 401, "mallory": 401, "ben": 403, "cleo": 403, "anna": 200}
            for who, status in statuses.items():
                headers = {} if who is None else {"Authorization": f"Bearer {who}"}
                async with client.get(f"/debug/{page}", headers=headers) as response:
                    assert response.status == status, (page, who)
                    assert response.headers["Cache-Control"] == "no-store"


async def test_on_a_network_it_is_not_served_if_authentication_is_disabled() -> None:
    callers = Callers(None, SystemClock())
    async with (
        served(OUTSIDE, callers) as client,
        client.get("/debug/tasks", headers=ADMINISTRATOR) as response,
    ):
        assert response.status == 404


async def test_a_name_that_somebody_pointed_at_loopback_opens_to_an_administrator() -> None:
    callers = Callers((MemoryCredentials(CALLERS),), SystemClock())
    headers = {"Host": "ops.example.com"}
    async with served({"DEBUG": "true"}, callers) as client:
        async with client.get("/debug/", headers=headers) as response:
            assert response.status == 401
        async with client.get("/debug/", headers=headers | ADMINISTRATOR) as response:
            assert response.status == 200


async def test_lists_its_pages(client: Client) -> None:
    index = await text(client, "")
    for page in PAGES[1:]:
        assert f"/debug/{page.partition('?')[0]}" in index


async def test_shows_what_each_task_waits_for(client: Client) -> None:
    async def waits_for_godot() -> None:
        await Event().wait()

    async with AsyncExitStack() as stack:
        task = asyncio.create_task(waits_for_godot(), name="vladimir")
        stack.callback(task.cancel)
        await asyncio.sleep(0)
        shown = await text(client, "tasks")
    assert "vladimir" in shown
    assert "await Event().wait()" in shown


async def test_shows_what_each_thread_does(client: Client) -> None:
    shown = await text(client, "threads")
    assert "MainThread" in shown
    assert "in _threads" in shown


async def test_shows_the_settings_but_no_secret(client: Client) -> None:
    shown = await text(client, "settings")
    assert "WEBHOOKS_MAX_RETRIES=3\n" in shown
    assert "DB_ENCRYPTION_SECRET=***\n" in shown
    assert "DB_AUTH_PASS=***\n" in shown
    for page in PAGES:
        shown = await text(client, page)
        assert SECRET not in shown
        assert "hunter2" not in shown


async def test_shows_where_the_time_goes(client: Client) -> None:
    async def burn_daylight() -> None:
        while True:
            sum(range(50_000))
            await asyncio.sleep(0)

    task = asyncio.create_task(burn_daylight())
    shown = await text(client, "profile?seconds=1")
    task.cancel()
    assert "burn_daylight" in shown


async def test_says_how_to_get_the_profiler(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyinstrument", None)
    assert "notification-management[debug]" in await text(client, "profile")


async def test_shows_which_lines_hold_more_memory(client: Client) -> None:
    held = []

    async def hoard() -> None:
        while True:
            held.append(bytearray(100_000))
            await asyncio.sleep(0.01)

    task = asyncio.create_task(hoard())
    shown = await text(client, "memory?seconds=1")
    task.cancel()
    assert "held.append(bytearray(100_000))" in shown


async def test_measures_for_one_at_a_time(client: Client) -> None:
    async def status() -> int:
        async with client.get("/debug/memory?seconds=1") as response:
            return response.status

    assert sorted(await asyncio.gather(status(), status())) == [200, 409]
    assert await status() == 200


@pytest.mark.parametrize("page", ["profile", "memory"])
@pytest.mark.parametrize(
    "seconds",
    ["0", "61", "-1", "1.5", "x", "", "9" * 5000, "00000000199999", "000000001" + "0" * 300],
)
async def test_measures_no_longer_than_a_minute(client: Client, seconds: str, page: str) -> None:
    async with client.get(f"/debug/{page}", params={"seconds": seconds}) as response:
        assert response.status == 400
        assert "from 1 to 60" in await response.text()
