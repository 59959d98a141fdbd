"""What every serving process has: a loop, an ops server that tells how it does, and an end."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

import structlog
from aiohttp import web
from attrs import define

from notification_adapters.clock import SystemClock
from notification_core.errors import (
    KeyServiceUnavailable,
    NotificationError,
    StorageUnavailable,
)
from notification_core.ports.clock import Clock
from notification_core.version import VERSION
from notification_entrypoints.api.security.authorization import Administrators
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.log_output import LogOutput, announce
from notification_entrypoints.observability.logging_observer import LoggingObserver
from notification_entrypoints.ops.debug import add_debug_pages
from notification_entrypoints.ops.server import Check, Info, Readiness, ops_app
from notification_entrypoints.ops.status import StatusReport, add_status_page
from notification_entrypoints.serving.http_server import (
    Bind,
    PatientProtocol,
    ProtocolRunner,
    listening,
    listening_at,
    stop_signals,
)
from notification_entrypoints.serving.shutdown import end_in_any_case
from notification_entrypoints.serving.worker_channel import WorkerAddress, say_ready

COMMIT = ""
"""The commit that a build is made from; a build from a checkout does not know it yet."""

_MEASURED_SECONDS = 10.0
"""How old what the metrics say of the backlog may be: many may read them, and often."""

UNREACHABLE = StorageUnavailable, KeyServiceUnavailable
"""What keeps a process from starting, and may pass: all else is wrong until somebody mends it."""

_START_PAUSE = 1.0
_NONE: Mapping[str, Check] = MappingProxyType({})
_OPS_SHUTDOWN = timedelta(milliseconds=100)

_log = structlog.stdlib.get_logger("notification")


class Starting(NotificationError):
    """The process is not ready yet."""


@define
class ServerProcess:
    """A process that serves: who watches it, and what the ops server tells of it.

    ``berth`` is its place among others that serve the same, None where it is alone.
    """

    watch: LoggingObserver
    ops_url: str
    berth: WorkerAddress | None
    administrators: Administrators
    _settings: Settings
    _clock: Clock
    _status: StatusReport
    _checks: dict[str, Check]
    _shown: dict[str, Check]
    _stop: asyncio.Event
    _start: "_Start"
    _stopped_at: float = 0.0

    async def run(self, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run what serves to its end.

        If it cannot start because the storage or Vault is unreachable, it is started again for as
        long as STARTUP_TIMEOUT says. Raises the latest error after that, and any other at once.
        """
        until = self._clock.monotonic() + self._settings.startup_timeout.total_seconds()
        while True:
            try:
                await serve()
            except UNREACHABLE as error:
                is_starting = "start" in self._checks
                if not is_starting or self._clock.monotonic() >= until:
                    raise
                self._start.problem = str(error)
                self.watch.background_task_failed("start", error)
            else:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _START_PAUSE)
                return

    def ready(
        self,
        application: Application,
        announcement: str = "",
        *,
        required: Mapping[str, Check] = _NONE,
        shown: Mapping[str, Check] = _NONE,
    ) -> None:
        """Say that it serves, while storage and the ``required`` parts work.

        ``/readyz`` tells of the ``shown`` parts too.
        """
        storage, dispatcher = application.storage, application.dispatcher
        self._checks |= {"storage": storage.ping, "migrations": storage.check_schema, **required}
        self._shown |= shown
        if dispatcher:
            self._shown["sending"] = dispatcher.check
        self._status.opened(storage.backlog, lambda: dispatcher.worker if dispatcher else None)
        self.watch.observe_storage(partial(self._status.size, _MEASURED_SECONDS))
        if storage.max_transactions is not None:
            count = lambda: storage.open_transactions  # noqa: E731 - one line
            self.watch.observe_transactions(count, storage.max_transactions)
        del self._checks["start"]
        _collect_rarely()
        if self.berth:
            say_ready(sys.stdout, announcement)
        else:
            announce(announcement, sys.stdout)

    async def until_stopped(self) -> None:
        """Return when it is told to stop; from then on it is not ready, and its time is bounded."""
        await self._stop.wait()
        self._stopped_at = self._clock.monotonic()
        _log.info("stopping")

    async def until_delay_is_over(self) -> None:
        """Return once SHUTDOWN_DELAY has passed since the process was told to stop."""
        end = self._stopped_at + self._settings.shutdown_delay.total_seconds()
        await self._clock.sleep(max(0.0, end - self._clock.monotonic()))


@define
class _Start:
    """The start of a process, and what it waits for."""

    problem: str = ""

    async def check(self) -> None:
        """Raise :class:`Starting`: once it is over, nobody asks any more."""
        raise Starting(f"the process is starting: {self.problem}".removesuffix(": "))


def run_to_the_end(main: Coroutine[Any, Any, None]) -> None:
    """Run a process's coroutine on the fastest loop there is."""
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(main)


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's where it is installed: it is worth a tenth and more."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.new_event_loop
    return new_event_loop


@asynccontextmanager
async def serving(
    settings: Settings, log: LogOutput, berth: WorkerAddress | None = None
) -> AsyncIterator[ServerProcess]:
    """Heed signals, and serve the ops server, which says that the process is starting."""
    clock = SystemClock()
    watch = LoggingObserver(VERSION, COMMIT, clock.monotonic, settings.pod_name)
    watch.observe_log(log)
    status = StatusReport(watch.last_minute, clock.monotonic)
    start = _Start()
    checks: dict[str, Check] = {"start": start.check}
    shown: dict[str, Check] = {}
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        if berth:
            stack.enter_context(_stopped_with_supervisor(stop))
        administrators = Administrators()
        app = _ops_app(settings, watch, Readiness(checks, shown=shown), stop)
        add_status_page(app, status)
        add_debug_pages(app, settings, administrators.refusal)
        ops_url = await stack.enter_async_context(
            _listening(ops_runner(app, settings), settings, berth)
        )
        # From the start on: what a process waits for before it serves may take long as well.
        stack.enter_context(_ended_in_time(stop))
        yield ServerProcess(
            watch,
            ops_url,
            berth,
            administrators,
            settings,
            clock,
            status,
            checks,
            shown,
            stop,
            start,
        )


@contextmanager
def _ended_in_time(stop: asyncio.Event) -> Iterator[None]:
    """Once told to stop, be at the end in a bounded time."""

    async def heed() -> None:
        await stop.wait()
        end_in_any_case()

    task = asyncio.create_task(heed())
    try:
        yield
    finally:
        task.cancel()


def _ops_app(
    settings: Settings, watch: LoggingObserver, readiness: Readiness, stopping: asyncio.Event
) -> web.Application:
    app = ops_app(
        watch,
        readiness,
        info_of(settings),
        stopping=stopping,
        write_timeout=settings.ops.server_write_timeout,
    )

    async def close(_: web.Application) -> None:
        await readiness.close()

    app.on_cleanup.append(close)
    return app


@asynccontextmanager
async def _listening(
    ops: web.AppRunner, settings: Settings, berth: WorkerAddress | None
) -> AsyncIterator[str]:
    """Serve the ops server where everybody asks, or where the supervisor does."""
    if berth is None:
        async with listening(ops, ops_bind(settings)) as url:
            yield url
        return
    async with listening_at(ops, berth.socket):
        try:
            yield berth.ops_url
        finally:
            berth.leave()


@contextmanager
def _stopped_with_supervisor(stop: asyncio.Event) -> Iterator[None]:
    """Stop once the supervisor closes the standard input, or is not there any more."""
    loop = asyncio.get_running_loop()

    def heed() -> None:
        loop.remove_reader(sys.stdin)
        stop.set()

    loop.add_reader(sys.stdin, heed)
    try:
        yield
    finally:
        loop.remove_reader(sys.stdin)


def _collect_rarely() -> None:
    """Keep the garbage collector from looking at what lives long, and at each batch anew.

    Deliveries are many small values without cycles, which die by their reference counts: at the
    default threshold the collector's walks cost a tenth of all deliveries per second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def info_of(settings: Settings) -> Info:
    """Return what is running, and where."""
    return Info(VERSION, COMMIT, settings.env, settings.pod_name, settings.pod_ip)


def ops_runner(app: web.Application, settings: Settings) -> web.AppRunner:
    """Return what runs an ops server."""
    protocol = partial(PatientProtocol, read_timeout=settings.ops.server_read_timeout)
    return ProtocolRunner(app, protocol, _OPS_SHUTDOWN.total_seconds)


def ops_bind(settings: Settings) -> Bind:
    """Return where an ops server listens."""
    return Bind(settings.ops.server_host, settings.ops.server_port, "OPS_SERVER_PORT")
