"""Checks of what a server needs, before it is started: nothing is made or changed."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from enum import StrEnum
from urllib.parse import urlsplit

from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_core.errors import NotificationError
from notification_entrypoints.bootstrap import storage
from notification_entrypoints.config.databases import file_of
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.process.open_files import raise_limit, shortfall

_SECONDS = 10.0
_MOST_CLOCK_SECONDS = 1.0
_LEAST_DISK_BYTES = 256 * 1024 * 1024
_LOOKED_UP = "example.com"


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@frozen
class CheckResult:
    """What one check found, and what to do about it if that is not well."""

    check: str
    verdict: Verdict
    message: str


_Check = Callable[[Settings], Coroutine[None, None, tuple[Verdict, str]]]


async def run_checks(loaded: Settings) -> AsyncIterator[CheckResult]:
    """Yield what each check of the surroundings finds, none after more than ten seconds."""
    for name, check in _CHECKS.items():
        try:
            async with asyncio.timeout(_SECONDS):
                verdict, message = await check(loaded)
        except TimeoutError:
            verdict, message = Verdict.FAILED, f"There is no response within {_SECONDS:.0f} s."
        except NotificationError as error:
            verdict, message = Verdict.FAILED, str(error)
        yield CheckResult(name, verdict, message)


async def _check_storage(loaded: Settings) -> tuple[Verdict, str]:
    place, file = storage.place_of(loaded), file_of(loaded.db.uri)
    if file:
        folder = next(parent for parent in file.parents if parent.exists())
        if not os.access(folder, os.W_OK):
            return Verdict.FAILED, f"{folder} is not writable: name another folder, or its owner."
        free = shutil.disk_usage(folder).free
        if free < _LEAST_DISK_BYTES:
            return Verdict.WARNING, f"{folder} has {free // 2**20} MiB free: make room on its disk."
        if not file.exists():
            return Verdict.OK, f"{place} will be created at the first start."
    await storage.check_schema(loaded)
    return Verdict.OK, f"{place} is reachable, and its schema fits."


async def _check_clock(loaded: Settings) -> tuple[Verdict, str]:
    if file_of(loaded.db.uri):
        return (
            Verdict.OK,
            f"It is {SystemClock().now():%Y-%m-%d %H:%M:%S} UTC; storage uses it too.",
        )
    before = SystemClock().now()
    now = await storage.time_of(loaded)
    after = SystemClock().now()
    seconds = max((before - now).total_seconds(), (now - after).total_seconds(), 0.0)
    if seconds > _MOST_CLOCK_SECONDS:
        return Verdict.WARNING, (
            f"This host and the database differ by {seconds:.0f} s: synchronise both (NTP). "
            "Signatures carry this host's time, and receivers reject old ones."
        )
    return Verdict.OK, "This host and the database agree."


async def _check_dns(loaded: Settings) -> tuple[Verdict, str]:
    names = [_LOOKED_UP]
    if uri := loaded.project_management_api_uri:
        names.insert(0, urlsplit(uri).hostname or _LOOKED_UP)
    for name in names:
        try:
            await asyncio.get_running_loop().getaddrinfo(name, 443, type=socket.SOCK_STREAM)
        except OSError as error:
            return Verdict.WARNING, (
                f"{name} cannot be resolved ({error.strerror}): see /etc/resolv.conf and the "
                "firewall. Webhooks at names that this host cannot resolve are not delivered."
            )
    return Verdict.OK, f"{' and '.join(names)} can be resolved."


async def _check_kafka(loaded: Settings) -> tuple[Verdict, str]:
    if not loaded.kafka.brokers:
        return Verdict.OK, "KAFKA_BROKERS is empty: Kafka is not used."
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415 - only where needed

    from notification_adapters.kafka.client import started  # noqa: PLC0415 - the same
    from notification_entrypoints.bootstrap.kafka import brokers_of  # noqa: PLC0415 - the same

    producer = AIOKafkaProducer(**brokers_of(loaded).options())
    async with started(producer.start, producer.stop):
        return Verdict.OK, f"{', '.join(loaded.kafka.brokers)} can be reached."


async def _check_ports(loaded: Settings) -> tuple[Verdict, str]:
    places = {
        "API_SERVER_PORT": (loaded.api.server_host, loaded.api.server_port),
        "OPS_SERVER_PORT": (loaded.ops.server_host, loaded.ops.server_port),
    }
    for variable, (host, port) in places.items():
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, port) if port else (None, None)
            if writer is not None:
                writer.close()
                return Verdict.WARNING, (
                    f"Something listens at {host}:{port}: a server that runs already, or another "
                    f"program; then set {variable} to a free port."
                )
    return Verdict.OK, f"{loaded.api.server_port} and {loaded.ops.server_port} are free."


async def _check_open_files(loaded: Settings) -> tuple[Verdict, str]:
    raise_limit()
    if problem := shortfall(loaded, dispatches=True, has_api=True):
        return Verdict.WARNING, problem
    return Verdict.OK, "The limit of open files is high enough for these settings."


_CHECKS: dict[str, _Check] = {
    "storage": _check_storage,
    "clock": _check_clock,
    "kafka": _check_kafka,
    "dns": _check_dns,
    "ports": _check_ports,
    "open files": _check_open_files,
}
