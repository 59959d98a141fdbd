"""For as long as one likes: load, and faults at random; all promises hold and nothing grows."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import asyncpg
import pytest
from attrs import define, field, frozen

from tests.conftest import require
from tests.faults.accounts import Accounts
from tests.faults.charts import Series, chart
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed
from tests.faults.load import Load, manners
from tests.faults.place import ServerPlace, place_on
from tests.faults.producer import producing
from tests.faults.stage import Up, running
from tests.support.postgres_server import HOW_TO_GET_IT, OwnServer, find_programs, started
from tests.support.receivers import Receiver

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

LEASE = 9.0
TIMEOUT = timedelta(seconds=3)
SETTINGS = {
    "WEBHOOKS_MAX_IN_FLIGHT": "512",
    "WEBHOOKS_RETRY_INTERVAL": "500ms",
    "WEBHOOKS_MAX_RETRIES": "100",
    "WEBHOOKS_WRITE_TIMEOUT": f"{TIMEOUT.total_seconds():.0f}s",
    "WEBHOOKS_LEASE": f"{LEASE:.0f}s",
}
MEGABYTE = 1_000_000
MAY_GROW, MAY_GROW_MEGABYTES = 1.1, 10
LAG = """
SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::integer FROM deliveries
WHERE state = 'pending' AND worker IS NULL AND due_at < now()
"""


@frozen
class Sample:
    """What there was to see at a moment, in seconds from the beginning."""

    at: float
    memory: Sequence[int]
    descriptors: Sequence[int]
    waiting: int
    lag: int


@define
class Soak:
    """Two processes on one PostgreSQL; the first is never killed, so that it shows what grows."""

    experiment: Experiment
    server: OwnServer
    place: ServerPlace
    ups: Sequence[Up]
    receiver: Receiver
    began: float = field(factory=time.monotonic)
    samples: list[Sample] = field(factory=list)
    faults: list[tuple[float, str]] = field(factory=list)
    interrupting: list[datetime] = field(factory=list)

    async def torment(self, seconds: float) -> None:
        """Do something bad every few seconds."""
        random = self.experiment.random
        faults: Mapping[str, Callable[[], Awaitable[None]]] = {
            "kill": self.kill,
            "hang": self.hang,
            "restart of PostgreSQL": self.restart,
            "receiver down": self.let_down,
        }
        end = self.began + seconds
        while time.monotonic() < end:
            await asyncio.sleep(random.uniform(3, 8))
            name = random.choice(list(faults))
            self.faults.append((time.monotonic() - self.began, name))
            await faults[name]()

    async def kill(self) -> None:
        """Kill the second process, and start it again."""
        await self.ups[1].kill()
        self.interrupting.append(datetime.now(UTC))
        await self.ups[1].start()

    async def hang(self) -> None:
        """Let the second process hang for longer than its lease."""
        process = self.ups[1].process
        assert process
        self.interrupting.append(datetime.now(UTC))
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(LEASE + 2)
        process.send_signal(signal.SIGCONT)
        self.interrupting.append(datetime.now(UTC))

    async def restart(self) -> None:
        """Have the storage crash; who cannot take its lock again in time is another one then."""
        self.interrupting.append(datetime.now(UTC))
        await asyncio.to_thread(self.server.stop, at_once=True)
        await asyncio.to_thread(self.server.start, fsync="on", full_page_writes="on")
        await asyncio.sleep(5)
        self.interrupting.append(datetime.now(UTC))

    async def let_down(self) -> None:
        """Have a receiver refuse connections."""
        await self.receiver.down()
        await asyncio.sleep(self.experiment.random.uniform(1, 5))
        await self.receiver.up()

    async def look(self) -> None:
        """Look at it every second; where the storage is unavailable there is nothing to see."""
        while True:
            with suppress(OSError, asyncpg.PostgresError):
                at = time.monotonic() - self.began
                memory = [resident(one) for one in self.ups]
                descriptors = [open_files(one) for one in self.ups]
                waiting = await self.place.count(
                    "SELECT count(*) FROM deliveries WHERE state = 'pending'"
                )
                lag = await self.place.count(LAG)
                self.samples.append(Sample(at, memory, descriptors, waiting, lag))
            await asyncio.sleep(1)

    def draw(self, folder: Path) -> None:
        """Leave the charts in a folder."""
        names = ("never killed", "killed")

        def both(values: Callable[[Sample], Sequence[int]]) -> Mapping[str, Series]:
            return {
                name: [(one.at, values(one)[number]) for one in self.samples]
                for number, name in enumerate(names)
            }

        marks = [(at, 0.0) for at, _ in self.faults]
        charts = {
            "memory": chart("resident memory", "MB", both(lambda one: one.memory), marks),
            "descriptors": chart("open files", "", both(lambda one: one.descriptors), marks),
            "queue": chart(
                "deliveries waiting", "", {"": [(o.at, o.waiting) for o in self.samples]}, marks
            ),
            "lag": chart("oldest due", "s", {"": [(o.at, o.lag) for o in self.samples]}, marks),
        }
        for name, drawing in charts.items():
            (folder / f"{name}.svg").write_text(drawing)


def resident(up: Up) -> int:
    """Return the megabytes of memory that a process has; none where it is not there."""
    assert up.process
    path = Path(f"/proc/{up.process.pid}/statm")
    return int(path.read_text().split()[1]) * 4096 // MEGABYTE if path.exists() else 0


def open_files(up: Up) -> int:
    """Return how many files and connections a process has open."""
    assert up.process
    path = Path(f"/proc/{up.process.pid}/fd")
    return len(list(path.iterdir())) if path.exists() else 0


@pytest.mark.experiment(35, "a soak, with faults at random")
async def test_all_promises_hold_and_nothing_grows(
    experiment: Experiment, request: pytest.FixtureRequest
) -> None:
    seconds = 60 * float(request.config.getoption("--minutes"))
    programs = find_programs()
    require(programs, HOW_TO_GET_IT)
    assert programs
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        server = stack.enter_context(started(programs, fsync="on", full_page_writes="on"))
        place = await stack.enter_async_context(place_on(server))
        one, api = await stack.enter_async_context(
            running(experiment.folder / "1", place, **SETTINGS)
        )
        other, _ = await stack.enter_async_context(
            running(experiment.folder / "2", place, **SETTINGS)
        )
        for manner in manners(experiment.random, 0.3):
            receiver = await stack.enter_async_context(accounts.receiver(manner))
            await api.subscribe(receiver.url)
        soak = Soak(experiment, server, place, (one, other), accounts.receivers[0])
        producer = await stack.enter_async_context(producing(api, experiment.random))
        load = Load(producer, accounts)
        looking = asyncio.create_task(soak.look())
        try:
            await soak.torment(seconds)
            await load.ended(place)
        finally:
            looking.cancel()
            soak.draw(experiment.folder)
        allowed = Allowed(
            max_retries=100,
            probes=True,
            kills=sorted(soak.interrupting),
            timeout=TIMEOUT,  # half an hour is long enough for a host to hang once
        )
        history = load.history(await api.key(), allowed)
    experiment.tell(f"{len(soak.faults)} faults in {seconds / 60:.0f} minutes")
    experiment.tell(f"charts in {experiment.folder}")
    experiment.judge(history)
    assert grown([sample.memory[0] for sample in soak.samples]) <= MAY_GROW_MEGABYTES
    assert grown([sample.descriptors[0] for sample in soak.samples]) <= 0


def grown(values: Sequence[int]) -> float:
    """Return by how much the last quarter is above what the second one allows."""
    quarter = len(values) // 4
    return median(values[-quarter:]) - MAY_GROW * median(values[quarter : 2 * quarter])
