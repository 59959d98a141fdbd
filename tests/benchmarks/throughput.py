"""Deliveries per second and CPU per delivery, over the bare aiohttp client's requests."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import evolve, field, frozen

from tests.benchmarks.figures import Goal, Round
from tests.benchmarks.processes import TICK, cpu_seconds, load, until
from tests.benchmarks.products import INSTALLED, Product
from tests.benchmarks.systems import OpenStorage, Receiver, System, receiver, tls_receiver, up


@frozen
class Load:
    """What is published in a round, and to how many webhooks it goes.

    With ``keys`` the events have one of so many ordering keys in turn, and webhooks are ordered.
    """

    count: int = 20_000
    batch: int = 100
    connections: int = 8
    size: int = 1024
    fan_out: int = 1
    path: str = "/hook"
    keys: int = 0

    @property
    def deliveries(self) -> int:
        """How many deliveries a round makes."""
        return self.count * self.fan_out

    def scaled(self, by: float) -> "Load":
        """Return the load with fewer or more events, in whole batches."""
        batches = max(1, round(self.count * by / self.batch))
        return evolve(self, count=batches * self.batch)


@frozen
class Throughput:
    """A system under full load, in turns with the raw client against the same receiver."""

    name: str
    title: str
    storage: OpenStorage
    load: Load = field(factory=Load)
    variables: Mapping[str, str] = field(factory=dict)
    options: Sequence[str] = ()
    tls: bool = False
    goals: Sequence[Goal] = ()

    @asynccontextmanager
    async def opened(self, scale: float) -> AsyncIterator["RunningThroughput"]:
        """Start what is measured, warm, for the length of the block."""
        async with self.started(scale) as measured:
            await measured.round()
            yield measured

    @asynccontextmanager
    async def started(
        self, scale: float, product: Product = INSTALLED
    ) -> AsyncIterator["RunningThroughput"]:
        """Start what is measured, cold, for the length of the block."""
        chosen = self.load.scaled(scale)
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(tls_receiver() if self.tls else receiver())
            storage = await stack.enter_async_context(self.storage())
            variables = {**self.variables, **running.trusted_by}
            system = await stack.enter_async_context(
                up(storage, *self.options, variables=variables, product=product)
            )
            urls = [f"{running.url}{chosen.path}?{number}" for number in range(chosen.fan_out)]
            environment = await system.subscribe(urls, is_ordered=chosen.keys > 0)
            yield RunningThroughput(chosen, running, system, environment)


@frozen
class Cost:
    """What a load took until its end: seconds, and CPU seconds.

    ``storage_cpu`` is None if the storage has no process.
    """

    seconds: float
    own_cpu: float
    storage_cpu: float | None

    @property
    def cpu(self) -> float:
        """The CPU seconds of our processes and of the storage's."""
        return self.own_cpu + (self.storage_cpu or 0)

    def each(self, count: int, thing: str, rate: str) -> Round:
        """Return what each of so many things cost, and under the name ``rate`` how many a second.

        What takes less than a tick of the kernel's clock is taken for a tick: a ratio has no zero.
        """
        figures = {f"our CPU {thing}, µs": max(TICK, self.own_cpu) / count * 1e6}
        if self.storage_cpu is not None:
            server = max(TICK, self.storage_cpu) / count * 1e6
            figures[f"PostgreSQL's CPU {thing}, µs"] = server
        return {**figures, rate: count / self.seconds}


@frozen
class RunningThroughput:
    """A system that runs, warm."""

    load: Load
    receiver: Receiver
    system: System
    environment: str

    async def round(self) -> Round:
        """Measure both: half of the raw requests before, half after, so that a drift cancels."""
        count = self.load.deliveries
        before = await self._raw(count // 2)
        cost = await self.published()
        after = await self._raw(count - count // 2)
        raw_rate = count / (before["seconds"] + after["seconds"])
        raw_cpu = (before["cpu"] + after["cpu"]) / count * 1e6
        rate, cpu = count / cost.seconds, cost.cpu / count * 1e6
        return {
            "ratio": rate / raw_rate,
            "cpu ratio": cpu / raw_cpu,
            "rate": rate,
            "raw rate": raw_rate,
            "cpu": cpu,
            "raw cpu": raw_cpu,
        }

    async def costs(self) -> Round:
        """Publish; return what a delivery cost."""
        cost = await self.published()
        return cost.each(self.load.deliveries, "a delivery", "deliveries a second")

    async def _raw(self, count: int) -> Mapping[str, float]:
        return await load("raw", f"{self.receiver.url}/raw", str(count), str(self.load.size))

    async def publish(self) -> Mapping[str, float]:
        """Publish the events of a round."""
        chosen = self.load
        numbers = (chosen.count, chosen.batch, chosen.connections, chosen.size, chosen.keys)
        return await load("publish", self.system.api, self.environment, *map(str, numbers))

    async def published(self) -> Cost:
        """Publish; return what it took until every attempt was in the log."""
        goal = await self.system.storage.logged() + self.load.deliveries
        received = await self.receiver.received() + self.load.deliveries
        system = self.system
        own, stored = cpu_seconds(system.processes), cpu_seconds(system.storage.pids)
        told = await self.publish()

        async def all_are_received() -> bool:
            return await self.receiver.received() >= received

        async def all_are_logged() -> bool:
            return await self.system.storage.logged() >= goal

        # Asking takes time of the cores that the system needs, counting rows the most.
        await until("every request was received", all_are_received, pause=0.1)
        await until("every attempt is logged", all_are_logged, pause=0.1)
        return Cost(
            time.time() - told["started_at"],
            cpu_seconds(system.processes) - own,
            cpu_seconds(system.storage.pids) - stored if system.storage.pids else None,
        )
