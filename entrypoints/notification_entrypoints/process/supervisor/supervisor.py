"""The parent of several processes that serve the same: it starts them, and ends with them.

It does nothing itself but to answer on the ops port for all of them. It never forks: a worker is a
new interpreter, which owns its loop, its connections, its worker's lock and its place in the group
of Kafka. A worker ends when its standard input does, so it ends with its supervisor, however that
ends.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

import structlog
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_core.version import VERSION
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.log_output import LogOutput, announce
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.ops.server import ops_app
from notification_entrypoints.ops.status import add_status_page
from notification_entrypoints.process.runtime import COMMIT, info_of, ops_bind, ops_runner
from notification_entrypoints.process.supervisor.aggregate import (
    CrewCounts,
    CrewParts,
    CrewReport,
    add_debug_door,
    running,
)
from notification_entrypoints.process.supervisor.sockets import socket_folder
from notification_entrypoints.process.supervisor.supervised_worker import SupervisedWorker
from notification_entrypoints.process.supervisor.worker_process import WorkerProcess, spawned
from notification_entrypoints.serving.http_server import Bind, listening, sharing, stop_signals
from notification_entrypoints.serving.worker_channel import WorkerAddress

LONGEST_STOP: Final = 14.0
"""A worker that has not ended by itself so long after it was told to is killed."""

_SECOND_SIGNAL: Final = 130

_log = structlog.stdlib.get_logger("notification")


@frozen
class WorkerPool:
    """Who serves: so many workers of a command, which all listen on the API's port or do not."""

    command: str
    size: int
    environ: Mapping[str, str]
    shares_port: bool


async def supervise(settings: Settings, crew: WorkerPool, log: LogOutput) -> None:
    """Have a crew serve until SIGINT or SIGTERM; a second signal ends all of it at once.

    Raises :class:`WorkerRefused` where none of them can start.
    """
    stopping = asyncio.Event()
    slots = [SupervisedWorker(number, SystemClock()) for number in range(1, crew.size + 1)]
    counts = CrewCounts(slots, Metrics(VERSION, COMMIT, settings.pod_name, serves=False))
    counts.observe_log(log)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_signals(lambda: _end_at_once(slots)))
        ops_url = await stack.enter_async_context(_answering(settings, slots, counts, stopping))
        environ = stack.enter_context(_environ(settings, crew))
        folder = stack.enter_context(socket_folder())

        async def start(number: int) -> WorkerProcess:
            berth = WorkerAddress(number, folder / f"{number}.sock", ops_url, os.getpid())
            return await spawned(crew.command, berth, environ)

        _log.info("supervisor_started", workers=crew.size, ops_url=ops_url)
        lives = [asyncio.create_task(slot.run(start, counts.ended)) for slot in slots]
        await _live(slots, lives, stop, stopping)


@asynccontextmanager
async def _answering(
    settings: Settings,
    slots: Sequence[SupervisedWorker],
    counts: CrewCounts,
    stopping: asyncio.Event,
) -> AsyncIterator[str]:
    """Answer on the ops port for all workers; gives the URL."""
    app = ops_app(
        counts,
        CrewParts(slots),
        info_of(settings),
        stopping=stopping,
        write_timeout=settings.ops.server_write_timeout,
    )
    add_status_page(app, CrewReport(slots))
    add_debug_door(app, settings, slots)
    async with listening(ops_runner(app, settings), ops_bind(settings)) as url, running(counts):
        yield url


@contextmanager
def _environ(settings: Settings, crew: WorkerPool) -> Iterator[Mapping[str, str]]:
    """Give the workers' environment; the API's port is kept for them where they share one."""
    if not crew.shares_port:
        yield crew.environ
        return
    variable = "API_SERVER_PORT"
    with sharing(Bind(settings.api.server_host, settings.api.server_port, variable)) as port:
        yield {**crew.environ, variable: str(port)}


async def _live(
    slots: Sequence[SupervisedWorker],
    lives: Sequence[asyncio.Task[None]],
    stop: asyncio.Event,
    stopping: asyncio.Event,
) -> None:
    """Let the workers run until told to stop, or until one says that none can."""
    told = asyncio.create_task(stop.wait())
    announcing = asyncio.create_task(_announce(slots))
    await asyncio.wait([told, *lives], return_when=asyncio.FIRST_COMPLETED)
    stopping.set()
    _log.info("stopping")
    await _cancelled([told, announcing])
    await _end(slots, lives)
    for life in lives:
        life.result()


async def _announce(slots: Sequence[SupervisedWorker]) -> None:
    """Say once what the workers say, when all of them serve."""
    for slot in slots:
        await slot.ready.wait()
    announce(slots[0].announcement, sys.stdout)


async def _end(slots: Sequence[SupervisedWorker], lives: Sequence[asyncio.Task[None]]) -> None:
    """Let the workers end in order, for so long as that may take, and then at once."""
    for slot in slots:
        slot.stop()
    _, late = await asyncio.wait(lives, timeout=LONGEST_STOP)
    if late:
        _log.error("workers_killed", reason=f"they have not stopped within {LONGEST_STOP:.0f} s")
        for slot in slots:
            slot.kill()
        await asyncio.wait(lives)


def _end_at_once(slots: Sequence[SupervisedWorker]) -> None:
    for slot in slots:
        slot.kill()
    logging.shutdown()
    os._exit(_SECOND_SIGNAL)


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
