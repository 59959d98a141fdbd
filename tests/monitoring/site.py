"""An installation under load that is scraped by a real Prometheus, for faults to be made on.

The rules are those of deploy/, with their times divided by ``FACTOR``: what takes five minutes
there takes some seconds here, and so with ages. Other thresholds are as they are.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

import aiohttp
import yaml
from attrs import field, frozen

from tests.faults.place import ServerPlace
from tests.faults.stage import Api, Up, event_named, served_by
from tests.kafka.servers import Broker, running_broker
from tests.kafka.topics import Kafka, topics_on
from tests.support.ports import free_ports
from tests.support.postgres_server import OwnServer
from tests.support.receivers import Receiver
from tests.support.services import running, until_ok

FACTOR: Final = 20
HOURS_FACTOR: Final = 288
"""Of ages in hours: six hours are 75 seconds here."""

EVENTS: Final = "job-events"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_HOUR: Final = 3_600
_LEAST_WINDOW: Final = 10  # seconds: a rate needs some scrapes
_LEAST_FOR: Final = 24
"""Seconds, eight scrapes as there: on a host that is busy some come too late."""

_AGE: Final = re.compile(r"(?<=> )(\d+)$")
_CUSTOMERS: Final = 6
_PAUSE: Final = 0.3


def shortened(rules: str) -> str:
    """Return the rules with their durations, windows and ages divided."""

    def window(found: re.Match[str]) -> str:
        seconds = int(found[1]) * _SECONDS[found[2]] / FACTOR
        return f"[{max(_LEAST_WINDOW, round(seconds))}s]"

    def age(found: re.Match[str]) -> str:
        seconds = int(found[1])
        return str(seconds / (HOURS_FACTOR if seconds > _HOUR else FACTOR))

    content = yaml.safe_load(rules)
    for group in content["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[(\d+)([smhd])\]", window, rule["expr"].strip())
            if re.search(r"_(age|lag|delay)_seconds", rule["expr"]):
                rule["expr"] = _AGE.sub(age, rule["expr"])
            if waited := re.fullmatch(r"(\d+)([smhd])", rule.get("for", "")):
                seconds = int(waited[1]) * _SECONDS[waited[2]] / FACTOR
                rule["for"] = f"{max(_LEAST_FOR, round(seconds))}s"
    return yaml.safe_dump(content)


@frozen
class Plan:
    """What an installation is like: ``settings`` are of the process that delivers.

    ``kafka`` names who knows a Kafka: ``up``, which delivers, ``api``, which only serves, or a
    ``consumer``, which there is only then. ``open_files`` is the limit of the process that
    delivers, and its log goes to a pipe if ``has_log_pipe``.
    """

    settings: Mapping[str, str] = field(factory=dict)
    kafka: AbstractSet[str] = frozenset()
    open_files: int | None = None
    has_log_pipe: bool = False


@frozen
class Site:
    """An installation under load: a process that delivers, one that only serves, receivers.

    ``stack`` ends with it, ``log`` is the end of the pipe that its log is read from, and ``loads``
    are what publishes: by the API, and to Kafka.
    """

    stack: AsyncExitStack
    server: OwnServer
    place: ServerPlace
    deliverer: Up
    api_server: Up
    consumer: Up
    customers: Sequence[Api]
    receivers: Sequence[Receiver]
    prometheus: str
    broker: Broker | None
    kafka: Kafka | None
    log: int | None
    loads: list[asyncio.Task[None]] = field(factory=list)

    async def firing(self) -> set[str]:
        """Return the alerts that fire now."""
        query = {"query": 'ALERTS{alertstate="firing"}'}
        url = f"{self.prometheus}/api/v1/query"
        async with aiohttp.request("GET", url, params=query) as response:
            found = await response.json()
        return {series["metric"]["alertname"] for series in found["data"]["result"]}

    async def produce(self, numbers: Sequence[int]) -> None:
        """Send events to Kafka, for the first customer."""
        assert self.kafka
        environment = self.customers[0].environment
        made = {"environment_id": environment, "occurred_at": datetime.now(UTC).isoformat()}
        events = [event_named(f"kafka-{environment}-{number}") | made for number in numbers]
        await self.kafka.send(EVENTS, *(json.dumps(event).encode() for event in events))


@asynccontextmanager
async def opened(plan: Plan, server: OwnServer, folder: Path, rules: str) -> AsyncIterator[Site]:
    """Start all of an installation, and a Prometheus, and have events published all the time."""
    # Not dropped: the server that it is on is ended, and may be down by then.
    place = ServerPlace(server, "postgres")
    settings = {
        "ENV": "test",
        "PROJECT_MANAGEMENT_API_URI": "",
        "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOKS_MAX_IN_FLIGHT": "64",
        "WEBHOOKS_RETRY_INTERVAL": "1s",
    }
    async with AsyncExitStack() as stack:
        broker, kafka = await _kafka(stack, folder) if plan.kafka else (None, None)
        known = {"KAFKA_BROKERS": broker.server.address} if broker else {}
        of = {name: known if name in plan.kafka else {} for name in ("up", "api", "consumer")}
        deliverer = Up(
            folder / "up",
            {**settings, **of["up"], **plan.settings},
            place=place,
            options=("--workers", "2"),
            open_files=plan.open_files,
        )
        log = _read_log(stack, deliverer) if plan.has_log_pipe else None
        await stack.enter_async_context(served_by(deliverer))
        api_server = Up(folder / "api", {**settings, **of["api"]}, command="api", place=place)
        api = await stack.enter_async_context(served_by(api_server))
        consumer = Up(folder / "kafka", {**settings, **known}, command="consumer", place=place)
        processes = [deliverer, api_server]
        if "consumer" in plan.kafka:
            processes.append(consumer)
            await stack.enter_async_context(served_by(consumer))
        receivers = [await stack.enter_async_context(Receiver(200)) for _ in range(_CUSTOMERS)]
        customers = [Api(api.session, api.base) for _ in receivers]
        for customer, receiver in zip(customers, receivers, strict=True):
            await customer.subscribe(receiver.url)
        targets = [f"127.0.0.1:{process.ports[1]}" for process in processes]
        prometheus = await stack.enter_async_context(_prometheus(folder, rules, targets))
        site = Site(
            *(stack, server, place, deliverer, api_server, consumer, customers, receivers),
            *(prometheus, broker, kafka, log),
        )
        for load in (_load(customers), *([_load_by_kafka(site)] if kafka else ())):
            site.loads.append(asyncio.create_task(load))
            stack.callback(site.loads[-1].cancel)
        yield site


async def _kafka(stack: AsyncExitStack, folder: Path) -> tuple[Broker, Kafka]:
    (folder / "broker").mkdir()
    broker = stack.enter_context(running_broker(folder / "broker"))
    kafka = await stack.enter_async_context(topics_on(broker.server.address))
    kafka.prefix = ""
    await kafka.create(EVENTS)
    return broker, kafka


def _read_log(stack: AsyncExitStack, up: Up) -> int:
    """Have a process log to a pipe that is read as long as this process reads it."""
    read, up.output = os.pipe()
    stack.callback(os.close, up.output)
    loop = asyncio.get_running_loop()
    loop.add_reader(read, os.read, read, 65_536)
    stack.callback(loop.remove_reader, read)
    return read


@asynccontextmanager
async def _prometheus(folder: Path, rules: str, targets: Sequence[str]) -> AsyncIterator[str]:
    """Scrape every three seconds, by the shortened rules; gives the URL."""
    (port,) = free_ports(1)
    (folder / "rules.yaml").write_text(shortened(rules))
    job = {"job_name": "notification-management", "static_configs": [{"targets": targets}]}
    content = {
        "global": {"scrape_interval": "3s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [job],
    }
    (folder / "prometheus.json").write_text(json.dumps(content))  # JSON is YAML
    command = (
        *("prometheus", f"--config.file={folder / 'prometheus.json'}"),
        *(f"--storage.tsdb.path={folder / 'series'}", f"--web.listen-address=127.0.0.1:{port}"),
    )
    url = f"http://127.0.0.1:{port}"
    async with running(folder, command, {}), aiohttp.ClientSession() as client:
        await until_ok(client, f"{url}/-/ready")
        yield url


async def _load(customers: Sequence[Api]) -> None:
    """Publish some events a second for each customer, also while that fails."""
    for number in count():
        for customer in customers:
            with suppress(aiohttp.ClientError, TimeoutError):
                await customer.try_to_publish([event_named(f"{customer.environment}-{number}")])
        await asyncio.sleep(_PAUSE)


async def _load_by_kafka(site: Site) -> None:
    """Send some events a second to Kafka."""
    for number in count():
        await site.produce([number])
        await asyncio.sleep(_PAUSE)
