"""Each alert fires for its fault, and no other one does: real faults, scraped by a real Prometheus.

The rules are those of deploy/, with their times divided by ``FACTOR``: what takes five minutes
there takes some seconds here. Thresholds are as they are.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp
import yaml
from attrs import field, frozen

from tests.faults.place import ServerPlace
from tests.faults.stage import Api, Up, event_named, served_by
from tests.kafka.servers import Broker, running_broker
from tests.support.ports import free_ports
from tests.support.postgres_server import OwnServer, find_programs, started
from tests.support.receivers import Receiver
from tests.support.services import running, until_ok
from tests.support.waiting import until

FACTOR: Final = 20
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LEAST_WINDOW: Final = 10  # seconds: a rate needs some scrapes
_SETTLED: Final = 15.0
_WATCHED: Final = 20.0
_CUSTOMERS: Final = 6


def shortened(rules: str) -> str:
    """Return the rules with their durations and windows divided."""

    def window(found: re.Match[str]) -> str:
        seconds = int(found[1]) * _SECONDS[found[2]] / FACTOR
        return f"[{max(_LEAST_WINDOW, round(seconds))}s]"

    content = yaml.safe_load(rules)
    for group in content["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[(\d+)([smhd])\]", window, rule["expr"])
            if waited := re.fullmatch(r"(\d+)([smhd])", rule.get("for", "")):
                seconds = int(waited[1]) * _SECONDS[waited[2]] / FACTOR
                rule["for"] = f"{max(1, round(seconds))}s"
    return yaml.safe_dump(content)


@frozen
class Site:
    """An installation under load: a process that delivers, one that only serves, receivers."""

    server: OwnServer
    deliverer: Up
    api_server: Up
    customers: Sequence[Api]
    receivers: Sequence[Receiver]
    broker: Broker | None


Making = Callable[[Site], Awaitable[None]]


@frozen
class Fault:
    """What is broken how, and the alerts that must fire; ``settings`` are of the deliverer.

    ``with_kafka`` both processes know a Kafka.
    """

    name: str
    alerts: Collection[str]
    make: Making
    settings: Mapping[str, str] = field(factory=dict)
    with_kafka: bool = False


async def _nothing(_: Site) -> None:
    """Break nothing."""


async def _one_receiver_down(site: Site) -> None:
    await site.receivers[0].down()


async def _all_receivers_down(site: Site) -> None:
    for receiver in site.receivers:
        await receiver.down()


async def _one_receiver_hangs(site: Site) -> None:
    site.receivers[0].respond("hang")


async def _database_down(site: Site) -> None:
    await asyncio.to_thread(site.server.stop, at_once=True)


async def _kafka_down(site: Site) -> None:
    assert site.broker
    await asyncio.to_thread(site.broker.server.kill)


async def _deliverer_killed(site: Site) -> None:
    await site.deliverer.kill()


async def _all_killed(site: Site) -> None:
    await site.deliverer.kill()
    await site.api_server.kill()


async def _workers_killed(site: Site) -> None:
    for _ in range(4):
        former = site.deliverer.workers
        (worker, *_) = former
        os.kill(worker, signal.SIGKILL)

        async def is_replaced(former: Sequence[int] = former) -> bool:
            now = site.deliverer.workers
            return len(now) == len(former) and set(now) != set(former)

        await until("a worker has been started again", is_replaced)


async def _worker_hangs(site: Site) -> None:
    """Stop a worker for longer than its lease, while it waits for receivers."""
    await _slow_receivers(site)
    await asyncio.sleep(3)
    worker, *_ = site.deliverer.workers
    os.kill(worker, signal.SIGSTOP)
    await asyncio.sleep(6)
    os.kill(worker, signal.SIGCONT)


async def _slow_receivers(site: Site) -> None:
    async def respond(_: object) -> int:
        await asyncio.sleep(1)
        return 200

    for receiver in site.receivers:
        receiver.respond(respond)


FAULTS: Final[Sequence[Fault]] = (
    Fault("nothing", (), _nothing),
    Fault("one receiver is down", (), _one_receiver_down),
    Fault("one receiver hangs", (), _one_receiver_hangs),
    Fault(
        "all receivers are unreachable",
        ("NotificationEnvironmentsUnreachable",),
        _all_receivers_down,
    ),
    Fault(
        "the database is down",
        (
            "NotificationApiErrors",
            "NotificationBackgroundTaskFailing",
            "NotificationPartUnavailable",
        ),
        _database_down,
    ),
    Fault(
        "Kafka is down",
        ("NotificationBackgroundTaskFailing", "NotificationPartUnavailable"),
        _kafka_down,
        with_kafka=True,
    ),
    Fault(
        "the process that delivers is killed", ("NotificationNothingDelivers",), _deliverer_killed
    ),
    Fault("all processes are killed", ("NotificationAbsent",), _all_killed),
    Fault(
        "a worker hangs for longer than its lease",
        ("NotificationResultsFenced",),
        _worker_hangs,
        {"WEBHOOKS_LEASE": "3s", "WEBHOOKS_WRITE_TIMEOUT": "2s"},
    ),
    Fault("workers keep ending", ("NotificationWorkersRestarting",), _workers_killed),
)


async def try_faults(rules: str, words: Sequence[str]) -> Sequence[str]:
    """Make each fault that is asked for; return what did not happen as it must."""
    programs = find_programs()
    assert programs, "PostgreSQL is not here"
    wrong = []
    for fault in FAULTS:
        if words and not any(word in fault.name for word in words):
            continue
        with started(programs) as server:
            fired = await _fired_for(fault, server, rules)
        is_right = fired == set(fault.alerts)
        told = ", ".join(sorted(fired)) or "no alert"
        print(f"{'ok' if is_right else 'WRONG':6} {fault.name}: {told}", flush=True)
        if not is_right:
            wrong.append(fault.name)
    return wrong


async def _fired_for(fault: Fault, server: OwnServer, rules: str) -> set[str]:
    """Return the alerts that fire from the fault on, which begins on a system at rest."""
    async with AsyncExitStack() as stack:
        site, prometheus = await _site(stack, fault, server, rules)
        loading = asyncio.create_task(_load(site.customers))
        stack.callback(loading.cancel)
        await asyncio.sleep(_SETTLED)
        early = await _firing(prometheus)
        assert not early, f"{early} before {fault.name}"
        await fault.make(site)
        return await _watch(prometheus, set(fault.alerts))


async def _watch(prometheus: str, expected: set[str]) -> set[str]:
    """Return all that fires until what is expected has, and for some time after."""
    fired: set[str] = set()
    loop = asyncio.get_running_loop()
    patience = loop.time() + (180.0 if expected else 0.0)
    end = loop.time() + _WATCHED
    while loop.time() < end:
        fired |= await _firing(prometheus)
        await asyncio.sleep(0.5)
        if not expected <= fired and loop.time() < patience:
            end = loop.time() + _WATCHED
    return fired


async def _site(
    stack: AsyncExitStack, fault: Fault, server: OwnServer, rules: str
) -> tuple[Site, str]:
    """Start all of an installation, and a Prometheus; return it and where that is."""
    folder = Path(stack.enter_context(TemporaryDirectory()))
    # Not dropped: the server that it is on is ended, and may be down by then.
    place = ServerPlace(server, "postgres")
    settings = {
        "ENV": "test",
        "PROJECT_MANAGEMENT_API_URI": "",
        "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOKS_MAX_IN_FLIGHT": "64",
        "WEBHOOKS_RETRY_INTERVAL": "1s",
    }
    broker = None
    if fault.with_kafka:
        (folder / "kafka").mkdir()
        broker = stack.enter_context(running_broker(folder / "kafka"))
        settings |= {"KAFKA_BROKERS": broker.server.address}
    deliverer = Up(
        folder / "up", {**settings, **fault.settings}, place=place, options=("--workers", "2")
    )
    await stack.enter_async_context(served_by(deliverer))
    api_server = Up(folder / "api", settings, command="api", place=place)
    api = await stack.enter_async_context(served_by(api_server))
    receivers = [await stack.enter_async_context(Receiver(200)) for _ in range(_CUSTOMERS)]
    customers = [Api(api.session, api.base) for _ in receivers]
    for customer, receiver in zip(customers, receivers, strict=True):
        await customer.subscribe(receiver.url)
    targets = [f"127.0.0.1:{up.ports[1]}" for up in (deliverer, api_server)]
    prometheus = await stack.enter_async_context(_prometheus(folder, rules, targets))
    return Site(server, deliverer, api_server, customers, receivers, broker), prometheus


@asynccontextmanager
async def _prometheus(folder: Path, rules: str, targets: Sequence[str]) -> AsyncIterator[str]:
    """Scrape each second, by the shortened rules; gives the URL."""
    (port,) = free_ports(1)
    (folder / "rules.yaml").write_text(shortened(rules))
    job = {"job_name": "notification-management", "static_configs": [{"targets": targets}]}
    content = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "1s"},
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


async def _firing(prometheus: str) -> set[str]:
    query = {"query": 'ALERTS{alertstate="firing"}'}
    url = f"{prometheus}/api/v1/query"
    async with aiohttp.request("GET", url, params=query) as response:
        found = await response.json()
    return {series["metric"]["alertname"] for series in found["data"]["result"]}


async def _load(customers: Sequence[Api]) -> None:
    """Publish some events a second for each customer, also while that fails."""
    for number in count():
        for customer in customers:
            with suppress(aiohttp.ClientError, TimeoutError):
                await customer.try_to_publish([event_named(f"{customer.environment}-{number}")])
        await asyncio.sleep(0.3)
