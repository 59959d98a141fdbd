"""Deliveries per second, end to end, as a ratio to the bare aiohttp client in the same run.

``python end_to_end.py [--count N] [--rounds N] [--batch N] [--json FILE]`` starts a receiver and
``notification-management up`` on SQLite (its defaults: synchronous=FULL, both signatures), then
runs in turn: the raw client against the receiver, and batches of events published over HTTP. The
clock of the second stops when every attempt's row is in the database, counted there.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from http import HTTPStatus
from pathlib import Path

import aiohttp
from attrs import asdict, frozen

HERE = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_WIDE_SPREAD = 0.15


@frozen
class Round:
    """What one round measured, per second and in microseconds of CPU for each delivery."""

    raw_rate: float
    raw_cpu: float
    rate: float
    cpu: float

    @property
    def ratio(self) -> float:
        """Deliveries per second over raw requests per second."""
        return self.rate / self.raw_rate


@asynccontextmanager
async def process(*command: str, env: dict[str, str] | None = None) -> AsyncIterator[int]:
    """Run a process for the length of the block; gives its pid."""
    child = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **(env or {})}, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield child.pid
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


async def load(*arguments: str) -> dict[str, float]:
    """Run one load to its end, and return what it printed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "load.py"), *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    if child.returncode:
        raise SystemExit(f"the load failed: {out.decode()}")
    return {k: v for line in out.splitlines() for k, v in json.loads(line).items()}


async def until(condition: str, holds: Callable[[], Awaitable[bool]], seconds: float = 120) -> None:
    """Wait for a condition; give up loudly."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up waiting until {condition}")
        await asyncio.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, all threads, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@frozen
class Bench:
    """A running system with its receiver, and how much is asked of them in each round."""

    receiver: str
    api: str
    environment: str
    pid: int
    database: Path
    count: int
    batch: int

    async def round(self) -> Round:
        """Measure both loads, one after the other."""
        raw = await load("raw", self.receiver, str(self.count))
        seconds, cpu = await self.published()
        return Round(
            self.count / raw["seconds"],
            raw["cpu"] / self.count * 1e6,
            self.count / seconds,
            cpu / self.count * 1e6,
        )

    async def published(self) -> tuple[float, float]:
        """Publish events; return the seconds and CPU seconds until every attempt is logged."""
        goal = self._logged() + self.count
        before = cpu_seconds(self.pid)
        arguments = (self.api, self.environment, str(self.count), str(self.batch))
        told = await load("publish", *arguments)

        async def all_are_logged() -> bool:
            return self._logged() >= goal

        await until("every attempt is logged", all_are_logged)
        return time.time() - told["started_at"], cpu_seconds(self.pid) - before

    def _logged(self) -> int:
        query = "SELECT count(*) FROM attempts WHERE outcome = 'succeeded'"
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute(query).fetchone()
        return int(count)


@asynccontextmanager
async def bench(count: int, batch: int) -> AsyncIterator[Bench]:
    """Start the receiver and the system, with one webhook, for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        async with process(sys.executable, str(HERE / "receiver.py"), str(port_file)):
            await until("the receiver listens", _is_written(port_file))
            receiver = f"http://127.0.0.1:{port_file.read_text()}/hook"
            ports = {"API_SERVER_PORT": _free_port(), "OPS_SERVER_PORT": _free_port()}
            script = Path(sys.executable).with_name("notification-management")
            async with process(str(script), "up", "--data", folder, env=ports) as pid:
                ops = f"http://127.0.0.1:{ports['OPS_SERVER_PORT']}"
                await until("the system is ready", _answers(f"{ops}/readyz"))
                api = f"http://127.0.0.1:{ports['API_SERVER_PORT']}/api"
                environment = await _subscribe(api, receiver)
                (database,) = Path(folder).glob("*.sqlite")
                yield Bench(receiver, api, environment, pid, database, count, batch)


async def _subscribe(api: str, receiver: str) -> str:
    environment = str(uuid.uuid4())
    webhook = {"name": "bench", "url": receiver, "events": ["pipeline-created"]}
    async with aiohttp.ClientSession() as session:
        url = f"{api}/environments/{environment}/webhooks"
        async with session.post(url, json=webhook) as response:
            response.raise_for_status()
    return environment


def _is_written(path: Path) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return path.exists() and bool(path.read_text())

    return holds


def _answers(url: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return response.status == HTTPStatus.OK
        except aiohttp.ClientError:
            return False

    return holds


def _free_port() -> str:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def report(rounds: Sequence[Round]) -> str:
    """Return the figures as a table, with the machine named and a wide spread confessed."""
    ratios = sorted(each.ratio for each in rounds)
    middle = statistics.median(ratios)
    spread = (ratios[-1] - ratios[0]) / middle
    rows = [
        ("deliveries/s", statistics.median(each.rate for each in rounds)),
        ("raw aiohttp requests/s", statistics.median(each.raw_rate for each in rounds)),
        ("CPU per delivery, us", statistics.median(each.cpu for each in rounds)),
        ("CPU per raw request, us", statistics.median(each.raw_cpu for each in rounds)),
    ]
    lines = [f"{_machine()}; {len(rounds)} rounds, medians"]
    lines += [f"{name:<28}{value:>10.0f}" for name, value in rows]
    lines.append(
        f"{'deliveries over raw':<28}{middle:>10.3f}  ({ratios[0]:.3f} to {ratios[-1]:.3f})"
    )
    if spread > _WIDE_SPREAD:
        lines.append(
            f"the ratios spread over {spread:.0%}: the machine was not quiet, measure again"
        )
    return "\n".join(lines)


def _machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"aiohttp {aiohttp.__version__}, SQLite {sqlite3.sqlite_version}"
    )


async def main(arguments: argparse.Namespace) -> None:
    """Warm up, measure, print."""
    async with bench(arguments.count, arguments.batch) as running:
        print("warming up", file=sys.stderr)
        await running.round()
        rounds = []
        for number in range(arguments.rounds):
            rounds.append(await running.round())
            print(f"round {number + 1}: {rounds[-1].ratio:.3f}", file=sys.stderr)
    print(report(rounds))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in rounds], indent=1))


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(parsed()))
