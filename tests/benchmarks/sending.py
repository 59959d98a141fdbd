"""What a request costs by each sender alone: nothing is signed, stored or logged."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from tests.benchmarks.figures import Goal, Round
from tests.benchmarks.processes import load
from tests.benchmarks.systems import Receiver, receiver

NAMES = ("aiohttp", "native")


@frozen
class Sending:
    """Our senders in turns with the raw client, against the same receiver."""

    name: str
    title: str
    count: int = 20_000
    size: int = 1024
    goals: Sequence[Goal] = ()

    @asynccontextmanager
    async def opened(self, scale: float) -> AsyncIterator["RunningSending"]:
        """Start the receiver, and run all once, for the length of the block."""
        async with receiver() as running:
            measured = RunningSending(running, max(1, round(self.count * scale)), self.size)
            await measured.round()
            yield measured


@frozen
class RunningSending:
    """A receiver that runs."""

    receiver: Receiver
    count: int
    size: int

    async def round(self) -> Round:
        """Measure each; half of the raw requests before, half after, so that a drift cancels."""
        half = max(1, self.count // 2)
        before = await self._run("raw", count=half)
        sent = {name: await self._run("send", name, count=self.count) for name in NAMES}
        after = await self._run("raw", count=half)
        raw_rate, raw_cpu = (first + second for first, second in zip(before, after, strict=True))
        raw_rate, raw_cpu = raw_rate / 2, raw_cpu / 2
        measured = {"raw rate": raw_rate, "raw cpu": raw_cpu}
        for name, (rate, cpu) in sent.items():
            measured |= {f"{name} ratio": rate / raw_rate, f"{name} cpu ratio": cpu / raw_cpu}
            measured |= {f"{name} rate": rate, f"{name} CPU, µs": cpu}
        return measured

    async def _run(self, *command: str, count: int) -> tuple[float, float]:
        """Return how many requests went out in a second, and the microseconds of CPU for one."""
        told = await load(*command, f"{self.receiver.url}/hook", str(count), str(self.size))
        return count / told["seconds"], told["cpu"] / count * 1e6
