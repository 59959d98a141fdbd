"""From publishing to received, at a rate far below the capacity, over a straight POST."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median, quantiles

from attrs import field, frozen

from tests.benchmarks.figures import Goal, Round
from tests.benchmarks.machine import flushes_timed
from tests.benchmarks.processes import load
from tests.benchmarks.systems import OpenStorage, OpenSystem, Receiver, System, receiver, up

RATE = 200
_RATE_BESIDE = 20
_COUNT = 2_000


@frozen
class Latency:
    """One event a request, ``RATE`` a second, in turns with POSTs straight to the receiver.

    ``beside`` are paths of other webhooks of the environment, receivers that are slow or dead. With
    them each event is as many deliveries, so both are measured at ``_RATE_BESIDE`` a second.
    """

    name: str
    title: str
    storage: OpenStorage
    beside: Sequence[str] = ()
    variables: Mapping[str, str] = field(factory=dict)
    options: Sequence[str] = ()
    system: OpenSystem = up
    goals: Sequence[Goal] = ()

    @asynccontextmanager
    async def opened(self, scale: float) -> AsyncIterator["RunningLatency"]:
        """Start what is measured, warm, for the length of the block."""
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(receiver())
            storage = await stack.enter_async_context(self.storage())
            system = await stack.enter_async_context(
                self.system(storage, *self.options, variables=self.variables)
            )
            alone = await system.subscribe([f"{running.url}/timed"])
            crowded = [f"{running.url}{path}?{n}" for n, path in enumerate(self.beside)]
            beside = await system.subscribe([f"{running.url}/timed", *crowded])
            count = max(20, round(_COUNT * scale))
            measured = RunningLatency(running, system, alone, beside if crowded else "", count)
            await measured.round()
            yield measured


@frozen
class RunningLatency:
    """A system that runs, warm; ``beside`` is the environment with other webhooks, if there is."""

    receiver: Receiver
    system: System
    alone: str
    beside: str
    count: int

    async def round(self) -> Round:
        """Measure both, one after the other, and what the disk takes meanwhile; in milliseconds."""
        timed = f"{self.receiver.url}/timed"
        raw = await self._measured("paced-raw", timed)
        async with flushes_timed() as flushes:
            alone = await self._measured("paced-publish", self.system.api, self.alone)
        figures = _compared("", alone, " raw", raw)
        figures["a flush to the disk meanwhile, ms"] = median(flushes) * 1e3
        if self.beside:
            figures |= await self._beside()
        return figures

    async def _beside(self) -> Round:
        """Measure the same webhook alone and beside others, at a rate that all of them can take."""
        api, slowly = self.system.api, (_RATE_BESIDE, max(20, self.count // 4))
        alone = await self._measured("paced-publish", api, self.alone, at=slowly)
        beside = await self._measured("paced-publish", api, self.beside, at=slowly)
        return _compared(" beside", beside, " alone", alone)

    async def _measured(
        self, kind: str, *where: str, at: tuple[float, int] | None = None
    ) -> Sequence[float]:
        rate, count = at or (RATE, self.count)
        await load(kind, *where, str(rate), str(count))
        found: list[float] = []
        while len(found) < count:
            told = await self.receiver.told("/timed")
            assert isinstance(told, list)
            found += told
        return [seconds * 1e3 for seconds in found]


def _compared(
    name: str, values: Sequence[float], base_name: str, base: Sequence[float]
) -> dict[str, float]:
    """Return percentiles of both, and how many times the first are the second."""
    figures = {}
    for percent in (50, 95, 99):
        ours, theirs = _percentile(values, percent), _percentile(base, percent)
        figures[f"p{percent}{name} ratio"] = ours / theirs
        figures[f"p{percent}{name}, ms"] = ours
        figures[f"p{percent}{base_name}, ms"] = theirs
    return figures


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]
