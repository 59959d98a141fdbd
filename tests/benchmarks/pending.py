"""What a delivery costs beside many that wait, over one beside few."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import frozen

from tests.benchmarks.figures import Goal, Round
from tests.benchmarks.processes import memory
from tests.benchmarks.systems import Receiver, postgres_database, receiver, up
from tests.benchmarks.throughput import Load, RunningThroughput

_FEW, _MANY = 10_000, 1_000_000
_DEAD = 20
_MEGA = 1e6
# What an outage of twenty receivers leaves: due, and skipped while their limits are reached.
_WAITING = """
INSERT INTO events (event_id, environment_id, type, occurred_at, body, stored_at)
SELECT 'waiting-' || n, '{environment}', 'pipeline-created', now(),
  convert_to('{{"data":{{}}}}', 'UTF8'), now()
FROM generate_series(0, 9999) AS n;
INSERT INTO deliveries (delivery_id, environment_id, webhook_id, event_id, state, due_at, attempt,
  failures, interruptions, created_at, event_stored_at)
SELECT ('01990000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '{environment}',
  (ARRAY(SELECT webhook_id FROM webhooks WHERE environment_id = '{environment}'))[1 + n % {dead}],
  'waiting-' || n % 10000, 'pending', now(), 0, 0, 0, now(), now()
FROM generate_series(1, {count}) AS n
"""


@frozen
class Pending:
    """Two systems on PostgreSQL, one beside few and one beside many that wait; in turns."""

    name: str
    title: str
    goals: Sequence[Goal] = ()

    @asynccontextmanager
    async def opened(self, scale: float) -> AsyncIterator["RunningPending"]:
        """Start and fill both, warm, for the length of the block."""
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(receiver())
            load = Load().scaled(scale)
            # What waits is not part of the load: it is always as much as the title says.
            few = await stack.enter_async_context(_beside(running, _FEW, load))
            many = await stack.enter_async_context(_beside(running, _MANY, load))
            yield RunningPending(few, many)


@asynccontextmanager
async def _beside(running: Receiver, count: int, load: Load) -> AsyncIterator["Beside"]:
    async with postgres_database() as storage, up(storage) as system:
        fast = await system.subscribe([f"{running.url}/hook"])
        measured = RunningThroughput(load, running, system, fast)
        await measured.published()
        idle = memory(system.processes)
        dead = await system.subscribe([f"{running.url}/never?{n}" for n in range(_DEAD)])
        await storage.run(_WAITING.format(environment=dead, dead=_DEAD, count=count))
        await measured.published()
        yield Beside(measured, idle)


@frozen
class Beside:
    """A system whose queues are filled, warm, and how much memory it took before they were."""

    measured: RunningThroughput
    idle: int

    @property
    def grown(self) -> float:
        """How many megabytes it has taken since."""
        return (memory(self.measured.system.processes) - self.idle) / _MEGA


@frozen
class RunningPending:
    """Both systems."""

    few: Beside
    many: Beside

    async def round(self) -> Round:
        """Measure both, one after the other."""
        few = await self.few.measured.published()
        many = await self.many.measured.published()
        count = self.few.measured.load.deliveries
        return {
            "cost ratio": many.cpu / few.cpu,
            "time ratio": many.seconds / few.seconds,
            "CPU beside few, µs": few.cpu / count * 1e6,
            "CPU beside many, µs": many.cpu / count * 1e6,
            "memory grown, MB": self.many.grown,
        }
