"""Streams: a page that is open is told that something has changed, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from attrs import Factory, define, evolve

from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.errors import StorageUnavailable
from notification_core.model.caller import Caller, Scope
from notification_core.ports.changes import EnvironmentChanges
from notification_entrypoints.console.streams import StreamRules
from tests.entrypoints.api_services import Backstage, backstage, log_success, on_sqlite
from tests.entrypoints.console.conftest import ENVIRONMENT, Console, console_of
from tests.entrypoints.console.scenes import publish, subscribed

QUICK = StreamRules(most=2, interval=0.02, heartbeat=30)
PATH = f"/console/environments/{ENVIRONMENT}/changes"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Backstage]:
    async with backstage(on_sqlite(tmp_path)) as stage:
        yield stage


@asynccontextmanager
async def stream(console: Console) -> AsyncIterator[aiohttp.ClientResponse]:
    """Open a stream; what it says first is read."""
    async with asyncio.timeout(20), console.session.get(f"{console.url}{PATH}") as response:
        assert response.status == 200
        assert await said(response) == "retry: 2000"
        assert await said(response) == "event: changed\ndata:"
        yield response


async def said(response: aiohttp.ClientResponse) -> str:
    """Return what a stream says next, empty at its end."""
    return (await response.content.readuntil(b"\n\n")).decode().strip()


@define
class Scripted(EnvironmentChanges):
    """Says that something has changed when it is told to; counts how often it is asked."""

    asked: int = 0
    number: int = 0
    away: bool = False
    turn: asyncio.Event = Factory(asyncio.Event)

    async def mark(self, environment_id: UUID, since: datetime) -> Hashable:
        del environment_id, since
        self.asked += 1
        self.turn.set()
        if self.away:
            raise StorageUnavailable("away")
        return self.number

    async def be_asked(self) -> None:
        """Wait until it is asked once more."""
        self.turn.clear()
        await self.turn.wait()


async def test_it_says_that_something_has_changed_and_no_more(stage: Backstage) -> None:
    async with console_of(stage, stage.application, rules=QUICK) as console:
        await subscribed(console)
        await publish(console)
        async with stream(console) as response:
            assert response.content_type == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store"
            assert "script-src 'self'" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Request-Id"]
            await log_success(stage)
            assert await said(response) == "event: changed\ndata:"


async def test_one_statement_serves_all_streams_of_an_environment(stage: Backstage) -> None:
    changes = Scripted()
    application = stage.but(storage={"changes": changes})
    async with console_of(stage, application, rules=QUICK) as console, AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(stream(console)) for _ in range(2)]
        await changes.be_asked()
        before = changes.asked
        await changes.be_asked()
        assert changes.asked == before + 1
        changes.number += 1
        assert {await said(response) for response in opened} == {"event: changed\ndata:"}
        changes.away = True
        await changes.be_asked()
        changes.away = False
        changes.number += 1
        assert {await said(response) for response in opened} == {"event: changed\ndata:"}


async def test_there_are_so_many_streams_and_then_pages_do_without(stage: Backstage) -> None:
    async with console_of(stage, stage.application, rules=QUICK) as console:
        async with AsyncExitStack() as stack:
            for _ in range(QUICK.most):
                await stack.enter_async_context(stream(console))
            refused = await console.get(PATH)
            assert refused.status == 503
            assert (await console.get(console.of_environment())).status == 200
        # The server notices that a browser has gone when it says something.
        await subscribed(console)
        async with asyncio.timeout(20):
            while await _is_refused(console):
                await publish(console)
                await log_success(stage)


async def _is_refused(console: Console) -> bool:
    async with console.session.get(f"{console.url}{PATH}") as response:
        return response.status == 503


async def test_it_says_that_the_session_is_over_and_ends(stage: Backstage) -> None:
    admin = MemoryCredentials({"admin": Caller("Platform", Scope.ADMIN)})
    rules = evolve(QUICK, heartbeat=0.05)
    headers = {"Authorization": "Bearer admin"}
    async with console_of(stage, stage.but(credentials=[admin]), rules=rules) as console:
        sessions = f"{console.url}/api/environments/{ENVIRONMENT}/portal-sessions"
        draft = {"scope": "read"}
        async with console.session.post(sessions, json=draft, headers=headers) as response:
            made: dict[str, Any] = await response.json()
        await console.get("/console/portal/" + made["url"].rpartition("/")[2])
        async with stream(console) as response:
            assert await said(response) == ": nothing has changed"
            revoked = f"{sessions}/{made['session_id']}"
            assert (await console.session.delete(revoked, headers=headers)).status == 204
            while (line := await said(response)) != "event: ended\ndata:":
                assert line == ": nothing has changed"
            assert not await said(response)


async def test_it_ends_after_its_time(stage: Backstage) -> None:
    rules = evolve(QUICK, lifetime=0.2)
    async with (
        console_of(stage, stage.application, rules=rules) as console,
        stream(console) as response,
    ):
        assert not await said(response)


async def test_it_ends_when_the_process_is_to_stop_and_none_begins(stage: Backstage) -> None:
    async with console_of(stage, stage.application, rules=QUICK) as console:
        async with stream(console) as response:
            console.deadline.begin()
            assert not await said(response)
        assert (await console.get(PATH)).status == 503
