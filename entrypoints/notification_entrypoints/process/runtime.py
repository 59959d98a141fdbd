"""What every serving process has: a loop, an ops server that tells how it does, and an end."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog
from aiohttp import web

from notification_adapters.clock import SystemClock
from notification_core.errors import (
    KeyServiceUnavailable,
    NotificationError,
    StorageUnavailable,
)
from notification_core.version import VERSION
from notification_entrypoints.api.security.authorization import Administrators
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.log_output import LogOutput, announce
from notification_entrypoints.observability.logging_observer import LoggingObserver
from notification_entrypoints.ops.debug import add_debug_pages
from notification_entrypoints.ops.server import Check, Info, Readiness, ops_app
from notification_entrypoints.ops.status import StatusReport, add_status_page
from notification_entrypoints.ops.webhook_ranking import WebhookRanking
from notification_entrypoints.serving.background import in_background, measure_loop_lag
from notification_entrypoints.serving.gc_tuning import collect_rarely
from notification_entrypoints.serving.http_server import (
    Bind,
    PatientProtocol,
    ProtocolRunner,
    listen_at,
    listen_on,
    stop_signals,
)
from notification_entrypoints.serving.shutdown import force_exit_after
from notification_entrypoints.serving.worker_channel import WorkerAddress, report_ready

_COMMIT_FILE = Path(__file__).parents[1] / "commit.txt"
COMMIT = _COMMIT_FILE.read_text("utf-8").strip() if _COMMIT_FILE.is_file() else ""
"""The commit that was built; empty in an editable installation, whose checkout moves on."""

_MEASURED_SECONDS = 10.0
"""How old the backlog in the metrics may be: many may read them, and often."""

UNREACHABLE = StorageUnavailable, KeyServiceUnavailable
"""What keeps a process from starting, and may pass: all else is wrong until somebody fixes it."""

_START_PAUSE = 1.0
_NONE: Mapping[str, Check] = MappingProxyType({})
_OPS_SHUTDOWN = timedelta(milliseconds=100)

_log = structlog.stdlib.get_logger("notification")


class Starting(NotificationError):
    """The process is not ready yet."""


class ServerProcess:
    """A process that serves: it stops on signals, and its ops server tells how it does.

    ``address`` is its place among others that serve the same, None where it is alone.
    ``observer`` counts what happens in it, and ``administrators`` may see its debug pages.
    """

    def __init__(
        self, settings: Settings, log: LogOutput, address: WorkerAddress | None = None
    ) -> None:
        self.address = address
        self.administrators = Administrators()
        self.ops_url = ""
        self._settings = settings
        self._clock = SystemClock()
        self.observer = LoggingObserver(VERSION, COMMIT, self._clock.monotonic, settings.pod_name)
        self.observer.observe_log(log)
        self._status = StatusReport(self.observer.last_minute, self._clock.monotonic)
        self._checks: dict[str, Check] = {"start": self._check_start}
        self._shown: dict[str, Check] = {}
        self._start_problem = ""
        self._stop = asyncio.Event()
        self._stopped_at = 0.0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Handle signals, and serve the ops server, which reports that the process is starting."""
        async with AsyncExitStack() as stack:
            self._stop = stop = stack.enter_context(stop_signals())
            if self.address:
                # The supervisor closes the standard input to stop it, or is not there any more.
                loop = asyncio.get_running_loop()

                def stop_with_supervisor() -> None:
                    loop.remove_reader(sys.stdin)
                    stop.set()

                loop.add_reader(sys.stdin, stop_with_supervisor)
                stack.callback(loop.remove_reader, sys.stdin)
            readiness = Readiness(self._checks, shown=self._shown)
            self.observer.observe_health(readiness.working)
            app = ops_app(
                self.observer,
                readiness,
                info_of(self._settings),
                stopping=stop,
                write_timeout=self._settings.ops.server_write_timeout,
            )
            app.on_cleanup.append(lambda _: readiness.close())
            add_status_page(app, self._status)
            add_debug_pages(app, self._settings, self.administrators.refusal)
            runner = ops_runner(app, self._settings)
            if self.address:
                await stack.enter_async_context(listen_at(runner, self.address.socket))
                stack.callback(self.address.remove_socket)
                self.ops_url = self.address.ops_url
            else:
                self.ops_url = await stack.enter_async_context(
                    listen_on(runner, ops_bind(self._settings))
                )
            # From the start on: what a process waits for before it serves may take long as well.
            await stack.enter_async_context(in_background(self._bound_stop()))
            lag = measure_loop_lag(self.observer.loop_lagged)
            await stack.enter_async_context(in_background(lag))
            yield

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
                self._start_problem = str(error)
                self.observer.background_task_failed("start", error)
            else:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _START_PAUSE)
                return

    def mark_ready(
        self,
        application: Application,
        announcement: str = "",
        *,
        required: Mapping[str, Check] = _NONE,
        shown: Mapping[str, Check] = _NONE,
    ) -> None:
        """Report it as ready, for as long as storage and the ``required`` parts work.

        ``/readyz`` shows the ``shown`` parts too.
        """
        storage, dispatcher = application.storage, application.dispatcher
        self._checks |= {"storage": storage.ping, "migrations": storage.check_schema, **required}
        self._shown |= shown
        if dispatcher:
            self._shown["sending"] = dispatcher.check
        ranking = WebhookRanking(storage.backlog, storage.statistics, self._clock)
        self._status.opened(
            storage.backlog, ranking, lambda: dispatcher.worker if dispatcher else None
        )
        self.observer.observe_storage(partial(self._status.size, _MEASURED_SECONDS))
        if storage.max_transactions is not None:
            count = lambda: storage.open_transactions  # noqa: E731 - one line
            self.observer.observe_transactions(count, storage.max_transactions)
            storage.observe_transactions(self.observer.transaction_ended)
        del self._checks["start"]
        collect_rarely()
        if self.address:
            report_ready(sys.stdout, announcement)
        else:
            announce(announcement, sys.stderr)

    async def wait_for_stop(self) -> None:
        """Return when it is told to stop; from then on it is not ready, and its time is bounded."""
        await self._stop.wait()
        self._stopped_at = self._clock.monotonic()
        _log.info("stopping")

    async def wait_for_shutdown_delay(self) -> None:
        """Return once SHUTDOWN_DELAY has passed since the process was told to stop."""
        end = self._stopped_at + self._settings.shutdown_delay.total_seconds()
        await self._clock.sleep(max(0.0, end - self._clock.monotonic()))

    async def _check_start(self) -> None:
        """Raise :class:`Starting`: once the start is over, this check is removed."""
        raise Starting(f"the process is starting: {self._start_problem}".removesuffix(": "))

    async def _bound_stop(self) -> None:
        """Once told to stop, be at the end in a bounded time."""
        await self._stop.wait()
        force_exit_after()


def run_event_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a process's coroutine to its end, on uvloop where it is installed.

    That is worth a tenth and more.
    """
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        from uvloop import new_event_loop  # noqa: PLC0415 - an extra

        loop_factory = new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


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


def api_bind(settings: Settings, *, shared: bool = False) -> Bind:
    """Return where an API server listens; several processes may have a ``shared`` port."""
    host, port = settings.api.server_host, settings.api.server_port
    return Bind(host, port, "API_SERVER_PORT", shared=shared)
