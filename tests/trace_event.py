"""Trace one published event to its stored result: functions, modules, jumps between modules.

``python -m tests.trace_event`` serves the API in this process, publishes events over HTTP to a
receiver on loopback until everything is warm, then follows one event at a time and prints what the
shortest trace went through, for SQLite and for PostgreSQL. Loops that happen to run meanwhile make
a trace longer, hence the shortest one. Functions of the three product packages count, each once;
a jump is a call, or going on after an await, in another module than the call before it.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final
from uuid import UUID

import aiohttp
from aiohttp import web
from attrs import define, field

import notification_adapters
import notification_core
import notification_entrypoints
from notification_entrypoints.embedded import (
    Notifications,
    WebhookDraft,
    migrate,
    open_notifications,
    settings,
)
from tests.support.postgres_server import HOW_TO_GET_IT, postgres_server
from tests.support.samples import EVENT_TYPES

ENVIRONMENT: Final = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
EVENT_TYPE: Final = "job-completed"
EVENT: Final = {"event": EVENT_TYPE, "data": EVENT_TYPES[EVENT_TYPE].example}
_PACKAGES: Final = (notification_core, notification_adapters, notification_entrypoints)
_WARM_EVENTS: Final = 50


@define
class Trace:
    """The calls of product functions, in order, while it ``is_on``."""

    calls: list[str] = field(factory=list)
    is_on: bool = False
    _names: dict[CodeType, str | None] = field(factory=dict)

    def hear(self, frame: FrameType, happening: str, _: Any) -> None:
        """Take a call, as :func:`sys.setprofile` tells it; going on after an await is one too."""
        if self.is_on and happening == "call" and (name := self._name(frame.f_code)):
            caller: FrameType | None = frame
            while caller:
                if caller.f_code is _WAITING:
                    return  # not the event's work, but this command's
                caller = caller.f_back
            self.calls.append(name)

    def _name(self, code: CodeType) -> str | None:
        """Return ``module:function`` of a function of the product, else None."""
        if code not in self._names:
            self._names[code] = _name_in_product(code)
        return self._names[code]

    @property
    def functions(self) -> Sequence[str]:
        """The functions in the order of their first call."""
        return [*dict.fromkeys(self.calls)]

    @property
    def modules(self) -> Sequence[str]:
        """The modules in the order of their first call."""
        return [*dict.fromkeys(map(_module_of, self.functions))]

    @property
    def jumps(self) -> int:
        """How often a function is called after one of another module."""
        return sum(a != b for a, b in pairwise(map(_module_of, self.calls)))


def _module_of(name: str) -> str:
    return name.partition(":")[0]


def _name_in_product(code: CodeType) -> str | None:
    for package in _PACKAGES:
        folder = Path(package.__path__[0])
        path = Path(code.co_filename)
        if path.is_relative_to(folder) and not code.co_name.startswith("<"):
            module = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
            return f"{module}:{code.co_qualname}"
    return None


async def trace(database: str, rounds: int) -> Trace:
    """Return the shortest of so many traces of one event, on this database."""
    profile = Trace()
    # Threads that begin from now on are followed as well: SQLite's work is done in one.
    threading.setprofile(profile.hear)
    sys.setprofile(profile.hear)
    try:
        async with _serving(database) as (notifications, url), aiohttp.ClientSession() as client:
            traces = []
            for number in range(_WARM_EVENTS + rounds):
                profile.calls = []
                profile.is_on = number >= _WARM_EVENTS
                async with client.post(url, json=EVENT) as response:
                    response.raise_for_status()
                await notifications.drain()
                profile.is_on = False
                traces.append(profile.calls)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return Trace(min(traces[_WARM_EVENTS:], key=len))


@asynccontextmanager
async def _serving(database: str) -> AsyncIterator[tuple[Notifications, str]]:
    """Serve the API and a receiver on loopback; give the URL that events are published at."""
    chosen = settings(
        DB_URI=database,
        DB_ENCRYPTION_SECRET="0123456789abcdef0123456789abcdef",
        API_AUTH="none",
        WEBHOOKS_ALLOWED_NETWORKS="127.0.0.0/8",
    )
    await migrate(chosen)
    receiver = web.Application()
    receiver.router.add_post("/", _receive)
    async with (
        open_notifications(chosen) as notifications,
        _listening(receiver) as receiver_url,
        _listening(notifications.api()) as api_url,
    ):
        draft = WebhookDraft(name="receiver", url=receiver_url, events=[EVENT_TYPE])
        await notifications.webhooks.create(ENVIRONMENT, draft)
        yield notifications, f"{api_url}environments/{ENVIRONMENT}/events"


async def _receive(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


@asynccontextmanager
async def _listening(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@contextmanager
def _databases() -> Iterator[Sequence[tuple[str, str]]]:
    """Give an SQLite file, and a PostgreSQL where its programs are installed."""
    with tempfile.TemporaryDirectory() as folder, postgres_server() as server:
        databases = [("SQLite", f"sqlite:///{folder}/events.sqlite")]
        if server:
            asyncio.run(server.execute("CREATE DATABASE traced"))
            databases.append(("PostgreSQL", server.database_uri("traced")))
        else:
            print(HOW_TO_GET_IT)
        yield databases


def main() -> None:
    """Print what an event goes through: a line a database, or with ``--list`` each function."""
    parser = argparse.ArgumentParser(description="Trace one event from publish to stored result.")
    parser.add_argument("--rounds", type=int, default=20, help="traces to choose the shortest of")
    parser.add_argument("--list", action="store_true", help="name the functions in their order")
    arguments = parser.parse_args()
    with _databases() as databases:
        for name, database in databases:
            found = asyncio.run(trace(database, arguments.rounds))
            print(
                f"{name}: {len(found.functions)} functions in {len(found.modules)} modules, "
                f"{found.jumps} jumps between modules"
            )
            if arguments.list:
                for number, function in enumerate(found.functions, 1):
                    print(f"{number:4} {function}")


_WAITING: Final = Notifications.drain.__code__

if __name__ == "__main__":
    main()
