"""How fast the pages are with a million deliveries behind them, and what open pages cost."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from statistics import median, quantiles
from typing import Final

import aiohttp

from tests.benchmarks.load import TYPE
from tests.benchmarks.systems import OpenStorage, System, postgres_database, sqlite_file, up
from tests.benchmarks.systems import receiver as running_receiver
from tests.benchmarks.throughput import Load, RunningThroughput
from tests.browser.million import WEBHOOKS, fill

STORAGES: Final[Mapping[str, OpenStorage]] = {
    "SQLite": sqlite_file,
    "PostgreSQL": postgres_database,
}
_TIMES: Final = 20
_WARM: Final = 2
_OPEN_PAGES: Final = 10
_PAIRS: Final = 3
_EVENTS: Final = 12_000


async def run(names: Sequence[str]) -> None:
    """Measure on engines; print for each a table of pages, then the pairs."""
    for name in names:
        opened = STORAGES[name]
        async with running_receiver() as receiver, opened() as storage, up(storage) as system:
            urls = [f"{receiver.url}/hook?{n}" for n in range(WEBHOOKS)]
            environment = await system.subscribe(urls)
            started = time.monotonic()
            await fill(storage, environment)
            print(f"{name}: filled within {time.monotonic() - started:.0f} s", flush=True)
            await _pages(name, system, environment)
            fast = await system.subscribe([f"{receiver.url}/hook"])
            load = Load(count=_EVENTS)
            await _pairs(name, RunningThroughput(load, receiver, system, fast), fast)


async def _pages(name: str, system: System, environment: str) -> None:
    async with aiohttp.ClientSession() as session:
        api, console = f"{system.api}/environments/{environment}", system.api.removesuffix("/api")
        webhooks = await _json(session, f"{api}/webhooks")
        webhook = webhooks[0]["webhook_id"]
        deliveries = await _json(session, f"{system.api}/webhooks/{webhook}/deliveries")
        events = await _json(session, f"{api}/events")
        page = f"{console}/console/environments/{environment}"
        of = f"{page}/webhooks/{webhook}"
        urls = {
            "API: deliveries": f"{system.api}/webhooks/{webhook}/deliveries?limit=25",
            "API: statistics": f"{api}/stats",
            "installation": f"{console}/console/",
            "overview": page,
            "webhooks": f"{page}/webhooks",
            "webhook": of,
            "webhook, failed ones": f"{of}?state=failed",
            "webhook, last 30 days": f"{of}?bucket=day",
            "webhook, settings": f"{of}/edit",
            "replays": f"{of}/replays",
            "verification": f"{of}/verification",
            "events": f"{page}/events",
            "events, a type": f"{page}/events?event=job-created",
            "event": f"{page}/events/{events[5]['event_id']}",
            "delivery": f"{page}/deliveries/{deliveries[5]['delivery_id']}",
            "keys": f"{page}/keys",
            "audit": f"{page}/audit",
        }
        for title, url in urls.items():
            times = [await _timed(session, url) for _ in range(_WARM + _TIMES)][_WARM:]
            p95 = quantiles(times, n=20)[-1]
            print(f"| {name} | {title} | {median(times):.1f} | {p95:.1f} |", flush=True)


async def _json(session: aiohttp.ClientSession, url: str) -> Sequence[Mapping[str, str]]:
    async with session.get(url) as response:
        response.raise_for_status()
        found: Sequence[Mapping[str, str]] = await response.json()
        return found


async def _timed(session: aiohttp.ClientSession, url: str) -> float:
    """Return how many milliseconds a page took."""
    started = time.perf_counter()
    async with session.get(url) as response:
        response.raise_for_status()
        await response.read()
    return (time.perf_counter() - started) * 1000


async def _pairs(name: str, measured: RunningThroughput, environment: str) -> None:
    """Compare deliveries with ten open overviews to those with none, in turns."""
    page = f"{measured.system.api.removesuffix('/api')}/console/environments/{environment}"
    await measured.published()
    ratios, costs = [], []
    for _ in range(_PAIRS):
        none = await measured.published()
        async with _open_pages(page):
            ten = await measured.published()
        ratios.append(ten.seconds / none.seconds)
        costs.append(ten.cpu / none.cpu)
    print(
        f"{name}: {_EVENTS:,} events of {TYPE} with {_OPEN_PAGES} open pages over none: time "
        f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), CPU {median(costs):.3f} "
        f"({min(costs):.3f} to {max(costs):.3f})",
        flush=True,
    )


@asynccontextmanager
async def _open_pages(page: str) -> AsyncIterator[None]:
    """Look at a page ten times, as browsers do: the stream, and the page when it says so."""
    async with aiohttp.ClientSession() as session:
        looking = [asyncio.create_task(_look(session, page)) for _ in range(_OPEN_PAGES)]
        try:
            yield
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)


async def _look(session: aiohttp.ClientSession, page: str, pause: float = 10.0) -> None:
    asked = 0.0
    async with session.get(f"{page}/changes") as stream:
        async for line in stream.content:
            if line.startswith(b"event: changed") and time.monotonic() - asked >= pause:
                asked = time.monotonic()
                with suppress(aiohttp.ClientError):
                    await _timed(session, page)
