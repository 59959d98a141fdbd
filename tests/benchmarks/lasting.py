"""What memory and the disk do while a system on PostgreSQL is under full load for long."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from tests.benchmarks.figures import Goal, Round
from tests.benchmarks.processes import memory
from tests.benchmarks.systems import PostgresDatabase, postgres_database, receiver, up
from tests.benchmarks.throughput import Load, RunningThroughput

_SECONDS = 120
_MEGA = 1e6


@frozen
class Lasting:
    """Under full load, two minutes a round by the usual scale: five are ten minutes."""

    name: str
    title: str
    goals: Sequence[Goal] = ()

    @asynccontextmanager
    async def opened(self, scale: float) -> AsyncIterator["RunningLasting"]:
        """Start what is measured, warm, for the length of the block."""
        async with receiver() as running, postgres_database() as storage, up(storage) as system:
            environment = await system.subscribe([f"{running.url}/hook"])
            measured = RunningThroughput(Load().scaled(scale), running, system, environment)
            await measured.published()
            yield RunningLasting(measured, storage, _SECONDS * scale)


@frozen
class RunningLasting:
    """A system that runs, warm."""

    measured: RunningThroughput
    storage: PostgresDatabase
    seconds: float

    async def round(self) -> Round:
        """Publish until the time is over, and tell what has grown by how much."""
        processes = self.measured.system.processes
        until, delivered = time.monotonic() + self.seconds, 0
        before, (stored, ahead) = memory(processes), await self.storage.written()
        while time.monotonic() < until or not delivered:
            await self.measured.published()
            delivered += self.measured.load.deliveries
        stored_now, ahead_now = await self.storage.written()
        return {
            "memory grown, MB": (memory(processes) - before) / _MEGA,
            "memory, MB": memory(processes) / _MEGA,
            "seconds": self.seconds,
            "delivered": delivered,
            "stored a delivery, bytes": (stored_now - stored) / delivered,
            "WAL a delivery, bytes": (ahead_now - ahead) / delivered,
        }
