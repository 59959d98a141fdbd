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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_core.errors import NotificationError
from notification_core.version import VERSION
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.log_output import LogOutput, announce
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.ops.server import ops_app
from notification_entrypoints.ops.status import add_status_page
from notification_entrypoints.process.runtime import (
    COMMIT,
    api_bind,
    info_of,
    ops_bind,
    ops_runner,
)
from notification_entrypoints.process.supervisor.aggregate import (
    WorkerPoolHealth,
    WorkerPoolMetrics,
    WorkerPoolStatus,
    add_debug_proxy,
)
from notification_entrypoints.process.supervisor.supervised_worker import SupervisedWorker
from notification_entrypoints.process.supervisor.worker_process import WorkerProcess, spawn
from notification_entrypoints.serving.background import in_background
from notification_entrypoints.serving.http_server import listen_on, reserve_port, stop_signals
from notification_entrypoints.serving.worker_channel import WorkerAddress

LONGEST_STOP: Final = 14.0
"""A worker that has not exited by itself so long after it was stopped is killed."""

_SECOND_SIGNAL: Final = 130

PARENTS: Final[Sequence[str | None]] = (None, "/dev/shm")  # noqa: S108 - the folder in it is private
"""Where a folder is made: where temporary files go, else in the memory that Linux offers.

The latter can usually be written to in a container whose root file system is read-only.
"""

_LONGEST_PATH: Final = 100  # of 107 bytes that a socket's address has room for, without its name

_log = structlog.stdlib.get_logger("notification")


class SocketFolderUnavailable(NotificationError):
    """No folder can be made for the sockets; the message says what to set."""


@frozen
class WorkerPool:
    """Who serves: so many workers of a command, which all listen on the API's port or do not."""

    command: str
    size: int
    environ: Mapping[str, str]
    shares_port: bool


async def supervise(settings: Settings, pool: WorkerPool, log: LogOutput) -> None:
    """Run a pool of workers until SIGINT or SIGTERM; a second signal ends all of it at once.

    Raises :class:`WorkerRefused` where none of its workers can start.
    """
    stopping = asyncio.Event()
    workers = [SupervisedWorker(number, SystemClock()) for number in range(1, pool.size + 1)]
    own = Metrics(VERSION, COMMIT, settings.pod_name, serves=False)
    own.observe_log(log)
    metrics = WorkerPoolMetrics(workers, own)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_signals(lambda: _exit_at_once(workers)))
        app = ops_app(
            metrics,
            WorkerPoolHealth(workers),
            info_of(settings),
            stopping=stopping,
            write_timeout=settings.ops.server_write_timeout,
        )
        add_status_page(app, WorkerPoolStatus(workers))
        add_debug_proxy(app, settings, workers)
        ops_url = await stack.enter_async_context(
            listen_on(ops_runner(app, settings), ops_bind(settings))
        )
        await stack.enter_async_context(in_background(metrics.keep_collecting()))
        environ = pool.environ
        if pool.shares_port:
            # The port is kept for the workers, also where the setting leaves it to the system.
            port = stack.enter_context(reserve_port(api_bind(settings)))
            environ = {**environ, "API_SERVER_PORT": str(port)}
        folder = stack.enter_context(socket_folder())

        async def spawn_worker(number: int) -> WorkerProcess:
            address = WorkerAddress(number, folder / f"{number}.sock", ops_url, os.getpid())
            return await spawn(pool.command, address, environ)

        _log.info("supervisor_started", workers=pool.size, ops_url=ops_url)
        runs = [
            asyncio.create_task(worker.run(spawn_worker, metrics.worker_exited))
            for worker in workers
        ]
        await _run_until_stopped(workers, runs, stop, stopping)


async def _run_until_stopped(
    workers: Sequence[SupervisedWorker],
    runs: Sequence[asyncio.Task[None]],
    stop: asyncio.Event,
    stopping: asyncio.Event,
) -> None:
    """Let the workers run until a signal to stop, or until one reports that none can start.

    Then they may exit in order, for so long as that may take, and are killed after that.
    """

    async def announce_once_all_serve() -> None:
        for worker in workers:
            await worker.ready.wait()
        announce(workers[0].announcement, sys.stderr)

    async def wait_for_stop() -> None:
        await stop.wait()

    async with in_background(announce_once_all_serve()), in_background(wait_for_stop()) as stopped:
        await asyncio.wait([stopped, *runs], return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        _log.info("stopping")
    for worker in workers:
        worker.stop()
    _, late = await asyncio.wait(runs, timeout=LONGEST_STOP)
    if late:
        _log.error("workers_killed", reason=f"they have not stopped within {LONGEST_STOP:.0f} s")
        for worker in workers:
            worker.kill()
        await asyncio.wait(runs)
    for run in runs:
        run.result()


def _exit_at_once(workers: Sequence[SupervisedWorker]) -> None:
    for worker in workers:
        worker.kill()
    logging.shutdown()
    os._exit(_SECOND_SIGNAL)


@contextmanager
def socket_folder(parents: Sequence[str | None] = PARENTS) -> Iterator[Path]:
    """Give a folder that no other user can enter, for the length of the block.

    Raises :class:`SocketFolderUnavailable`.
    """
    with _made_folder(parents) as name:
        yield Path(name)


def _made_folder(parents: Sequence[str | None]) -> "TemporaryDirectory[str]":
    reasons = []
    for parent in parents:
        try:
            folder = TemporaryDirectory(
                prefix="notification-", dir=parent, ignore_cleanup_errors=True
            )
        except OSError as error:
            reasons.append(error.strerror or str(error))
            continue
        if len(os.fsencode(folder.name)) <= _LONGEST_PATH - len("/1000.sock"):
            return folder
        folder.cleanup()
        reasons.append(f"the path {folder.name} is too long for a socket")
    raise SocketFolderUnavailable(
        f"--workers needs a folder for sockets, and none can be made ({'; '.join(reasons)}): set "
        "TMPDIR to a folder that can be written to, in Kubernetes the mount of an emptyDir volume."
    )
