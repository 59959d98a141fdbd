"""The API's own speed: reads and writes per second, over a bare aiohttp handler."""

import json
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from attrs import frozen

from tests.benchmarks.bare import WEBHOOK
from tests.benchmarks.figures import Goal, Round
from tests.benchmarks.load import NEW_ID, TYPE
from tests.benchmarks.processes import cpu_seconds, load, process, until
from tests.benchmarks.products import INSTALLED, Product
from tests.benchmarks.systems import OpenStorage, System, is_written, receiver, up
from tests.benchmarks.throughput import Cost

_DRAFT = {name: WEBHOOK[name] for name in ("name", "url", "method", "description")}
_LOGGED = 50
"""A page of a log, as long as it is by default."""

API_GOALS = (
    Goal("reading a webhook, ratio", at_least=0.25),
    Goal(f"reading {_LOGGED} of a log, ratio", at_least=0.1),
    Goal("creating a webhook, ratio", at_least=0.15),
)


@frozen
class Call:
    """One kind of request, made over and over; each writes in an environment of its own."""

    method: str
    path: str
    body: str = ""


@frozen
class Calling:
    """A running API in turns with a bare handler; its process also has a dispatcher."""

    name: str
    title: str
    storage: OpenStorage
    count: int = 10_000
    connections: int = 16
    goals: Sequence[Goal] = ()

    @asynccontextmanager
    async def opened(self, scale: float) -> AsyncIterator["RunningCalling"]:
        """Start both, warm, for the length of the block."""
        async with self.started(scale) as measured:
            await measured.round()
            yield measured

    @asynccontextmanager
    async def started(
        self, scale: float, product: Product = INSTALLED
    ) -> AsyncIterator["RunningCalling"]:
        """Start both, with a webhook that has a log, for the length of the block."""
        async with AsyncExitStack() as stack:
            storage = await stack.enter_async_context(self.storage())
            system = await stack.enter_async_context(up(storage, product=product))
            arrives = await stack.enter_async_context(receiver())
            bare = await stack.enter_async_context(_bare())
            calls = _calls(await _logged_webhook(system, f"{arrives.url}/hook"))
            count = max(self.connections, round(self.count * scale))
            yield RunningCalling(system, bare, calls, count, self.connections)


@frozen
class RunningCalling:
    """An API and a bare handler that run."""

    system: System
    bare: str
    calls: Mapping[str, Call]
    count: int
    connections: int

    async def round(self) -> Round:
        """Measure each kind of call, between two halves of the bare ones like it."""
        measured: dict[str, float] = {}
        for name, call in self.calls.items():
            before, _ = await self._called(self.bare, call, self.count // 2)
            rate, slowest = await self._called(self.system.api, call, self.count)
            after, _ = await self._called(self.bare, call, self.count // 2)
            bare = (before + after) / 2
            measured |= {f"{name}, ratio": rate / bare, f"{name} a second": rate}
            measured |= {f"{name}, bare a second": bare, f"{name}, p99, ms": slowest}
        return measured

    async def costs(self) -> Round:
        """Make each kind of call; return what one has cost."""
        measured: dict[str, float] = {}
        own, server = self.system.processes, self.system.storage.pids
        for name, call in self.calls.items():
            before = cpu_seconds(own), cpu_seconds(server)
            rate, _ = await self._called(self.system.api, call, self.count)
            cost = Cost(
                self.count / rate,
                cpu_seconds(own) - before[0],
                cpu_seconds(server) - before[1] if server else None,
            )
            measured |= cost.each(self.count, name, f"{name}, a second")
        return measured

    async def _called(self, url: str, call: Call, count: int) -> tuple[float, float]:
        """Return how many such calls a server answers in a second, and their p99."""
        words = ("call", call.method, f"{url}{call.path}", str(count), str(self.connections))
        told = await load(*words, call.body)
        return count / told["seconds"], told["p99"] * 1e3


def _calls(webhook_id: str) -> Mapping[str, Call]:
    webhook, environment = f"/webhooks/{webhook_id}", f"/environments/{NEW_ID}"
    draft = json.dumps({**_DRAFT, "events": [TYPE]})
    event = json.dumps({"event": TYPE, "data": {"note": "x" * 700}})
    return {
        "reading a webhook": Call("GET", webhook),
        f"reading {_LOGGED} of a log": Call("GET", f"{webhook}/logs?limit={_LOGGED}"),
        "creating a webhook": Call("POST", f"{environment}/webhooks", draft),
        "publishing an event": Call("POST", f"{environment}/events", event),
    }


async def _logged_webhook(system: System, url: str) -> str:
    """Return a webhook whose log has a page."""
    environment = await system.subscribe([url])
    await load("publish", system.api, environment, str(_LOGGED), "1", "1", "1000")

    async def all_are_logged() -> bool:
        return await system.storage.logged() >= _LOGGED

    await until("the log has a page", all_are_logged)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{system.api}/environments/{environment}/webhooks") as response,
    ):
        (webhook,) = await response.json()
    return str(uuid.UUID(webhook["webhook_id"]))


@asynccontextmanager
async def _bare() -> AsyncIterator[str]:
    """Run the bare handler for the length of the block; give its URL."""
    with tempfile.TemporaryDirectory() as folder:
        port = Path(folder) / "port"
        async with process(sys.executable, "-m", "tests.benchmarks.bare", str(port)):
            await until("the bare handler listens", is_written(port))
            yield f"http://127.0.0.1:{port.read_text()}"
