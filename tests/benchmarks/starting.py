"""How long it takes until something works: the import, the start, the first delivery."""

import sys
import time
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from tests.benchmarks.figures import Goal, Round
from tests.benchmarks.processes import as_a_user, load, until
from tests.benchmarks.systems import OpenStorage, receiver, up

_IMPORT = (
    "import time; began = time.perf_counter(); import notification_core; "
    "print(time.perf_counter() - began)"
)


@frozen
class Starting:
    """A fresh process each time; on a storage that the process itself migrates."""

    name: str
    title: str
    storage: OpenStorage
    goals: Sequence[Goal] = ()

    @asynccontextmanager
    async def opened(self, scale: float) -> AsyncIterator["Starting"]:  # noqa: ARG002 - a start is a start
        """Import and start once, so that what the disk gives is warm."""
        await self.round()
        yield self

    async def round(self) -> Round:
        """Measure one import and one start."""
        imported = await _import_seconds()
        async with self.storage() as storage, receiver() as running:
            began = time.perf_counter()
            async with up(storage) as system:
                ready = time.perf_counter()
                environment = await system.subscribe([f"{running.url}/hook"])
                await load("publish", system.api, environment, "1", "1", "1", "1000")

                async def has_arrived() -> bool:
                    return await running.received() > 0

                await until("the first delivery has arrived", has_arrived)
                delivered = time.perf_counter()
        return {
            "import, s": imported,
            "start to ready, s": ready - began,
            "start to first delivery, s": delivered - began,
        }


async def _import_seconds() -> float:
    """Return how long importing the core, as it is installed, lasts in a fresh interpreter."""
    child = await create_subprocess_exec(
        *(sys.executable, "-P", "-c", _IMPORT), env=as_a_user(), stdout=PIPE
    )
    out, _ = await child.communicate()
    return float(out)
