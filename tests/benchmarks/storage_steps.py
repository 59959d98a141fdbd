"""What storage costs, without HTTP: ``python -m tests.benchmarks.storage_steps [URI]``.

Prints the CPU of this process and the elapsed time per row of ingest (100 events, each with a
claimed delivery), finish (500 results) and acquire (500 due deliveries of 10 webhooks): on SQLite
with ``synchronous=FULL``, or in an empty PostgreSQL database at a URI.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import Server, migrate_postgres, open_postgres
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    AttemptResult,
    Fence,
    NewDelivery,
    ReceivedResponse,
    SentRequest,
    Succeeded,
)
from notification_core.model.event import Event, EventToStore
from notification_core.model.phases import REUSED
from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import Claim, IngestPlan

ROUNDS = 60
EVENTS = 100
RESULTS = 500
WEBHOOKS = 10
LEASE = timedelta(seconds=30)
TYPE = "job-created"
BODY = b"x" * 1024
REQUEST = SentRequest(
    "post", "http://a.example/", tuple((f"header-{number}", "v" * 60) for number in range(10))
)
RESPONSE = ReceivedResponse(200, tuple((f"header-{number}", "v" * 20) for number in range(5)), b"")


class Meter:
    """Adds up the time of each step."""

    def __init__(self) -> None:
        self._cpu: dict[str, float] = defaultdict(float)
        self._elapsed: dict[str, float] = defaultdict(float)
        self._rows: dict[str, int] = defaultdict(int)

    @contextmanager
    def of(self, step: str, rows: int) -> Iterator[None]:
        """Measure one run of a step."""
        cpu, elapsed = time.process_time(), time.perf_counter()
        yield
        self._cpu[step] += time.process_time() - cpu
        self._elapsed[step] += time.perf_counter() - elapsed
        self._rows[step] += rows

    def __str__(self) -> str:
        return "\n".join(
            f"{step:8} {self._cpu[step] / rows * 1e6:6.1f} µs CPU "
            f"{self._elapsed[step] / rows * 1e6:6.1f} µs elapsed, per row"
            for step, rows in self._rows.items()
        )


class Load:
    """Makes events, deliveries and results, and drives the storage with them."""

    def __init__(self, storage: SqlStorage, ids: IdGenerator) -> None:
        self._storage = storage
        self._ids = ids
        self._clock = SystemClock()
        self._environment_id = uuid4()
        self._worker = uuid4()
        self._webhooks: list[UUID] = []
        self.meter = Meter()

    async def run(self) -> None:
        """Measure all steps."""
        await self._subscribe()
        claimed: list[NewDelivery] = []
        for _ in range(ROUNDS):
            claimed += await self._ingest(claimed=True)
            while len(claimed) >= RESULTS:
                await self._finish(claimed[:RESULTS])
                del claimed[:RESULTS]
        for _ in range(ROUNDS):
            await self._ingest(claimed=False)
        await self._acquire()

    async def _subscribe(self) -> None:
        now = self._clock.now()
        for _ in range(WEBHOOKS):
            webhook_id = self._ids()
            self._webhooks.append(webhook_id)
            types = frozenset({TYPE})
            webhook = Webhook(webhook_id, self._environment_id, "n", REQUEST.url, types, now, now)
            await self._storage.webhooks.add(webhook, most=WEBHOOKS)

    async def _ingest(self, *, claimed: bool) -> Sequence[NewDelivery]:
        events = [self._event() for _ in range(EVENTS)]
        deliveries = [
            NewDelivery(
                self._ids(),
                self._environment_id,
                self._webhooks[number % WEBHOOKS],
                one.event.event_id,
                claimed=claimed,
            )
            for number, one in enumerate(events)
        ]
        planned = IngestPlan(WEBHOOKS, events, deliveries, self._worker, LEASE)
        with self.meter.of("ingest" if claimed else "queue", EVENTS):
            stored = await self._storage.deliveries.store(planned)
        assert stored, "as many changes as webhooks were made"
        return deliveries

    async def _finish(self, deliveries: Sequence[NewDelivery]) -> None:
        results = [self._result(one) for one in deliveries]
        with self.meter.of("finish", len(results)):
            await self._storage.deliveries.finish(results, LEASE)

    async def _acquire(self) -> None:
        claim = Claim(self._worker, LEASE, limit=500, limit_bytes=1 << 26, new_webhook_limit=64)
        left = ROUNDS * EVENTS
        while left:
            with self.meter.of("acquire", min(500, left)):
                claimed = await self._storage.deliveries.acquire(claim)
            left -= len(claimed.deliveries)

    def _event(self) -> EventToStore:
        now = self._clock.now()
        return EventToStore(Event(str(self._ids()), self._environment_id, TYPE, now, b"{}"), BODY)

    def _result(self, delivery: NewDelivery) -> AttemptResult:
        attempt = Attempt(
            log_id=self._ids(),
            environment_id=delivery.environment_id,
            webhook_id=delivery.webhook_id,
            delivery_id=delivery.delivery_id,
            event_id=delivery.event_id,
            event_type=TYPE,
            number=1,
            outcome=AttemptOutcome.SUCCEEDED,
            started_at=self._clock.now(),
            request=REQUEST,
            response=RESPONSE,
            duration=timedelta(milliseconds=3),
            phases=REUSED,
        )
        fence = Fence(delivery.delivery_id, delivery.environment_id, 1, self._worker)
        return AttemptResult(fence, attempt, Succeeded(), webhook_version=1)


@asynccontextmanager
async def opened(ids: IdGenerator) -> AsyncIterator[SqlStorage]:
    """Open PostgreSQL, or SQLite in the current folder's file system: another may be memory."""
    clock, cipher = SystemClock(), Cipher("0123456789abcdef0123456789abcdef")
    if len(sys.argv) > 1:
        server = Server(sys.argv[1])
        await migrate_postgres(server, cipher)
        async with open_postgres(server, cipher, clock, ids) as storage:
            yield storage
        return
    with TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "steps.sqlite"
        await migrate_sqlite(path, cipher)
        async with open_sqlite(path, cipher, clock, ids) as storage:
            yield storage


async def main() -> None:
    """Measure, and print."""
    ids = IdGenerator(SystemClock())
    async with opened(ids) as storage:
        load = Load(storage, ids)
        await load.run()
    sys.stdout.write(f"{load.meter}\n")


if __name__ == "__main__":
    asyncio.run(main())
