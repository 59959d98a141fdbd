"""Several processes on one PostgreSQL: workers side by side, and an API apart from consumers.

Kafka's own CPU is not counted, as little as that of the load; that of PostgreSQL is.
"""

import asyncio
import os
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from attrs import field, frozen

from tests.benchmarks.figures import Goal
from tests.benchmarks.latency import Latency
from tests.benchmarks.processes import free_port, load, process, until
from tests.benchmarks.producing import PARTITIONS
from tests.benchmarks.products import INSTALLED, Product
from tests.benchmarks.systems import (
    Storage,
    System,
    is_ready,
    postgres_database,
    receiver,
)
from tests.benchmarks.throughput import Load, RunningThroughput, Throughput
from tests.kafka.jars import HOW_TO_GET_JAVA, HOW_TO_GET_MAVEN, jars, java
from tests.kafka.servers import running_broker
from tests.kafka.topics import Kafka

_EVENTS = "pipeline-events"


@frozen
class FromKafka:
    """What is produced to Kafka at once, and consumed by running consumers beside an API."""

    name: str
    title: str
    load: Load = field(factory=Load)
    options: Sequence[str] = ()
    goals: Sequence[Goal] = ()

    @asynccontextmanager
    async def opened(self, scale: float) -> AsyncIterator["RunningFromKafka"]:
        """Start what is measured, warm, for the length of the block."""
        async with self.started(scale) as measured:
            await measured.round()
            yield measured

    @asynccontextmanager
    async def started(
        self, scale: float, product: Product = INSTALLED
    ) -> AsyncIterator["RunningFromKafka"]:
        """Start what is measured, cold, for the length of the block."""
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(receiver())
            storage = await stack.enter_async_context(postgres_database())
            kafka = await stack.enter_async_context(kafka_server())
            system = await stack.enter_async_context(
                processes_apart(storage, kafka, *self.options, product=product)
            )
            chosen = self.load.scaled(scale)
            environment = await system.subscribe([f"{running.url}{chosen.path}"])
            yield RunningFromKafka(chosen, running, system, environment, kafka)


@frozen
class RunningFromKafka(RunningThroughput):
    """Consumers that run, warm."""

    kafka: Kafka

    async def publish(self) -> Mapping[str, float]:
        """Produce the events of a round."""
        where = (self.kafka.brokers, self.kafka.topic(_EVENTS), self.environment)
        numbers = (self.load.count, self.load.size)
        return await load(*where, *map(str, numbers), module="producing")


@asynccontextmanager
async def kafka_server() -> AsyncIterator[Kafka]:
    """Run a broker, with the topic of the events, for the length of the block."""
    for found, how_to_get_it in ((java(), HOW_TO_GET_JAVA), (jars(), HOW_TO_GET_MAVEN)):
        if not found:
            raise SystemExit(how_to_get_it)
    with tempfile.TemporaryDirectory() as folder:
        running = running_broker(Path(folder))
        # It waits for the server by sleeping.
        broker = await asyncio.to_thread(running.__enter__)
        kafka = Kafka(broker.server.address)
        try:
            await kafka.create(_EVENTS, PARTITIONS)
            yield kafka
        finally:
            await kafka.close()
            await asyncio.to_thread(running.__exit__, None, None, None)


@asynccontextmanager
async def processes_apart(
    storage: Storage,
    kafka: Kafka,
    *options: str,
    variables: Mapping[str, str] | None = None,
    product: Product = INSTALLED,
) -> AsyncIterator[System]:
    """Run ``api`` and ``consumer`` on a storage, which ``migrate`` has made, as a cluster would."""
    told = {
        **product.variables,
        **storage.variables,
        **(variables or {}),
        "PROJECT_MANAGEMENT_API_URI": "",
        "KAFKA_BROKERS": kafka.brokers,
        "KAFKA_TOPIC_PREFIX": kafka.prefix,
    }
    await _migrate(product, told)
    port = str(free_port())
    async with (
        _serving(product, "api", told | {"API_SERVER_PORT": port}) as api,
        _serving(product, "consumer", told, *options) as consumer,
    ):
        yield System(f"http://127.0.0.1:{port}/api", (api, consumer), storage)


async def _migrate(product: Product, variables: Mapping[str, str]) -> None:
    child = await asyncio.create_subprocess_exec(
        product.command, "migrate", env={**os.environ, **variables}, stdout=DEVNULL
    )
    if await child.wait():
        raise SystemExit("the database cannot be migrated")


@asynccontextmanager
async def _serving(
    product: Product, command: str, variables: Mapping[str, str], *options: str
) -> AsyncIterator[int]:
    """Run a command that serves, from when it is ready, for the length of the block."""
    ops_port = str(free_port())
    environ = {**variables, "OPS_SERVER_PORT": ops_port}
    async with process(str(product.command), command, *options, env=environ) as pid:
        await until(f"`{command}` is ready", is_ready(ops_port))
        yield pid


@asynccontextmanager
async def api_and_consumer(
    storage: Storage, *options: str, variables: Mapping[str, str] | None = None
) -> AsyncIterator[System]:
    """Run them with a Kafka that stays silent: the consumer delivers what the API stores."""
    async with (
        kafka_server() as kafka,
        processes_apart(storage, kafka, *options, variables=variables) as system,
    ):
        yield system


SEVERAL: Sequence[Throughput | Latency | FromKafka] = (
    Throughput(
        "postgres-workers-2",
        "Batches of 100 over HTTP → PostgreSQL → delivered, two workers",
        postgres_database,
        load=Load(connections=16),  # the system shares connections out, not requests
        options=("--workers", "2"),
        goals=(Goal("ratio", at_least=0.6),),
    ),
    FromKafka(
        "kafka",
        "Kafka → PostgreSQL → delivered, one consumer",
        goals=(Goal("ratio", at_least=0.5), Goal("cpu ratio", at_most=2.5)),
    ),
    FromKafka(
        "kafka-workers-2",
        "Kafka → PostgreSQL → delivered, two consumers",
        options=("--workers", "2"),
        goals=(Goal("ratio", at_least=0.6),),
    ),
    Latency(
        "postgres-latency-apart",
        "Publish to one process → received from another, at 200 per second on PostgreSQL",
        postgres_database,
        system=api_and_consumer,
        goals=(Goal("p50 ratio", at_most=12), Goal("p99 ratio", at_most=15)),
    ),
)
