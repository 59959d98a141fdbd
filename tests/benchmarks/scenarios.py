"""What is measured, by name, and the goals that it is measured against."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from tests.benchmarks.calling import API_GOALS, Calling
from tests.benchmarks.figures import Goal, Round
from tests.benchmarks.lasting import Lasting
from tests.benchmarks.latency import Latency
from tests.benchmarks.pending import Pending
from tests.benchmarks.sending import Sending
from tests.benchmarks.several import SEVERAL
from tests.benchmarks.starting import Starting
from tests.benchmarks.systems import postgres_database, sqlite_file
from tests.benchmarks.throughput import Load, Throughput


class Running(Protocol):
    """A scenario that is set up, and gives one round after the other."""

    async def round(self) -> Round:
        """Measure once."""


class Scenario(Protocol):
    """Something to measure; ``scale`` is a part of the usual load."""

    @property
    def name(self) -> str:
        """What it is called on the command line and in JSON."""

    @property
    def title(self) -> str:
        """What it is, for a reader of the table."""

    @property
    def goals(self) -> Sequence[Goal]:
        """What its values are to be."""

    def opened(self, scale: float) -> AbstractAsyncContextManager[Running]:
        """Set everything up for the length of the block."""


SCENARIOS: Sequence[Scenario] = (
    Throughput(
        "sqlite",
        "Batches of 100 over HTTP → SQLite → delivered",
        sqlite_file,
        goals=(Goal("ratio", at_least=0.4),),
    ),
    Throughput(
        "sqlite-aiohttp",
        "The same, sent by aiohttp",
        sqlite_file,
        variables={"WEBHOOKS_SENDER": "aiohttp"},
        goals=(Goal("ratio", at_least=0.2),),
    ),
    Throughput(
        "sqlite-single",
        "One event a request, 32 connections → SQLite → delivered",
        sqlite_file,
        load=Load(count=5_000, batch=1, connections=32),
        goals=(Goal("ratio", at_least=0.25),),
    ),
    Throughput(
        "sqlite-fan-out-10",
        "Each event to 10 webhooks → SQLite → delivered",
        sqlite_file,
        load=Load(count=2_000, fan_out=10),
    ),
    Throughput(
        "sqlite-fan-out-100",
        "Each event to 100 webhooks → SQLite → delivered",
        sqlite_file,
        load=Load(count=300, fan_out=100),
    ),
    Throughput(
        "sqlite-200-bytes", "Bodies of 200 bytes → SQLite", sqlite_file, load=Load(size=250)
    ),
    Throughput(
        "sqlite-64-kib",
        "Bodies of 64 KiB → SQLite",
        sqlite_file,
        load=Load(count=2_000, batch=20, size=65_536),
        goals=(Goal("ratio", at_least=0.3),),
    ),
    Throughput(
        "sqlite-tls",
        "Receivers that speak TLS → SQLite, over raw requests by TLS",
        sqlite_file,
        tls=True,
    ),
    Throughput(
        "sqlite-half-fail",
        "Half of the responses 500, retried at once → SQLite",
        sqlite_file,
        load=Load(count=5_000, path="/half"),
        variables={"WEBHOOKS_RETRY_INTERVAL": "10ms"},
    ),
    Throughput(
        "postgres",
        "Batches of 100 over HTTP → PostgreSQL → delivered, one process",
        postgres_database,
        goals=(Goal("ratio", at_least=0.5), Goal("cpu ratio", at_most=2.5)),
    ),
    Throughput(
        "postgres-aiohttp",
        "The same, sent by aiohttp",
        postgres_database,
        variables={"WEBHOOKS_SENDER": "aiohttp"},
        goals=(Goal("ratio", at_least=0.25),),
    ),
    Throughput(
        "postgres-one-signature",
        "The same with WEBHOOKS_STANDARD_SIGNATURE=false",
        postgres_database,
        variables={"WEBHOOKS_STANDARD_SIGNATURE": "false"},
        goals=(Goal("ratio", at_least=0.6),),
    ),
    Throughput(
        "postgres-single",
        "One event a request, 32 connections → PostgreSQL → delivered",
        postgres_database,
        load=Load(count=5_000, batch=1, connections=32),
        goals=(Goal("ratio", at_least=0.3), Goal("cpu ratio", at_most=4)),
    ),
    Throughput(
        "postgres-fan-out-10",
        "Each event to 10 webhooks → PostgreSQL → delivered",
        postgres_database,
        load=Load(count=2_000, fan_out=10),
        goals=(Goal("ratio", at_least=0.75),),
    ),
    Throughput(
        "postgres-fan-out-100",
        "Each event to 100 webhooks → PostgreSQL → delivered",
        postgres_database,
        load=Load(count=300, fan_out=100),
    ),
    Throughput(
        "postgres-64-kib",
        "Bodies of 64 KiB → PostgreSQL",
        postgres_database,
        load=Load(count=2_000, batch=20, size=65_536),
        goals=(Goal("ratio", at_least=0.3),),
    ),
    *(
        Throughput(
            f"postgres-ordered-{keys}",
            f"To an ordered webhook, {keys:,} ordering key{'s' if keys > 1 else ''} → PostgreSQL",
            postgres_database,
            load=Load(count=count, keys=keys),
        )
        for keys, count in ((1, 500), (100, 5_000), (10_000, 20_000))
    ),
    Throughput(
        "sqlite-ordered-100",
        "To an ordered webhook, 100 ordering keys → SQLite",
        sqlite_file,
        load=Load(count=2_000, keys=100),
    ),
    Latency(
        "sqlite-latency",
        "Publish → received at 200 per second on SQLite; alone, and beside nine dead receivers",
        sqlite_file,
        beside=["/never"] * 9,
        goals=(
            Goal("p50 ratio", at_most=5),
            Goal("p99 ratio", at_most=4.5),
            Goal("p95 beside ratio", at_most=1.2),
        ),
    ),
    Latency(
        "sqlite-latency-mixed",
        "The same beside receivers that answer after 50 ms, after 1 s and never",
        sqlite_file,
        beside=["/slow/0.05", "/slow/1", "/never"] * 3,
    ),
    Calling(
        "sqlite-api",
        "Calls of the API on SQLite, over a bare aiohttp handler",
        sqlite_file,
        goals=API_GOALS,
    ),
    Calling(
        "postgres-api",
        "Calls of the API on PostgreSQL, over a bare aiohttp handler",
        postgres_database,
        goals=API_GOALS,
    ),
    Sending("send", "A request by each sender alone, over the raw client"),
    Latency(
        "postgres-latency",
        "Publish → received at 200 per second on PostgreSQL, one process",
        postgres_database,
        goals=(Goal("p50 ratio", at_most=5), Goal("p99 ratio", at_most=4.5)),
    ),
    *SEVERAL,
    Pending(
        "postgres-pending",
        "A million that wait for dead receivers, over ten thousand → PostgreSQL",
        goals=(Goal("cost ratio", at_most=1.25), Goal("memory grown, MB", at_most=60)),
    ),
    Lasting(
        "postgres-lasting",
        "Memory and disk under full load, round after round → PostgreSQL",
        goals=(Goal("memory grown, MB", at_most=5),),  # flat, but for what the allocator does
    ),
    Starting(
        "sqlite-start",
        "Import of the core; start of `up` on a new SQLite file",
        sqlite_file,
        goals=(Goal("import, s", at_most=0.06), Goal("start to ready, s", at_most=1)),
    ),
)
