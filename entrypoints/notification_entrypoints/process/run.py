"""How the processes of a command are run: one alone, or several side by side."""

import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import structlog
from attrs import frozen

from notification_core.errors import Detail, InvalidSettings
from notification_entrypoints.config.databases import file_of
from notification_entrypoints.config.report import unknown_variables
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.log_output import LogOutput
from notification_entrypoints.observability.logs import configure_logging
from notification_entrypoints.process.open_files import raise_limit, shortfall
from notification_entrypoints.process.runtime import ServerProcess, run_event_loop
from notification_entrypoints.serving.worker_channel import WorkerAddress

_log = structlog.stdlib.get_logger("notification")


@frozen
class ServerCommand:
    """What each process of a command does.

    ``load`` reads its settings and refuses what contradicts them; ``serve`` opens everything, says
    that the process is ready, and closes it all once the process is stopped. With ``has_api`` its
    processes listen for the API, with ``dispatches`` they send.
    """

    name: str
    load: Callable[[Mapping[str, str]], Settings]
    serve: Callable[[Settings, ServerProcess], Coroutine[Any, Any, None]]
    has_api: bool
    dispatches: bool


def run_command(command: ServerCommand, environ: Mapping[str, str], workers: int = 1) -> None:
    """Run a command until it is stopped, in one process or in several under a supervisor.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    """
    settings = command.load(environ)
    file = file_of(settings.db.uri)
    if workers > 1 and file and command.dispatches:
        problem = (
            f"DB_URI names the SQLite file {file}, which one process sends from; for --workers it "
            "must be a PostgreSQL server (postgresql://… or host:port)"
        )
        raise InvalidSettings(f"{problem}.", [Detail("DB_URI", problem)])
    log = _configure_log(settings)
    for unknown in unknown_variables(environ):
        _log.warning("unknown_variable", variable=unknown.name, nearest=unknown.nearest)
    if workers == 1:
        run_event_loop(_run_process(command, settings, log, None))
    else:
        from notification_entrypoints.process.supervisor.supervisor import WorkerPool, supervise  # noqa: PLC0415 - only where needed

        pool = WorkerPool(command.name, workers, environ, shares_port=command.has_api)
        run_event_loop(supervise(settings, pool, log))


def run_worker(command: ServerCommand, environ: Mapping[str, str], address: WorkerAddress) -> None:
    """Run one of several processes until it is stopped."""
    settings = command.load(environ)
    log = _configure_log(settings)
    structlog.contextvars.bind_contextvars(worker=address.number)
    run_event_loop(_run_process(command, settings, log, address))


def _configure_log(settings: Settings) -> LogOutput:
    return configure_logging(
        settings.tz, debug=settings.debug, stream=sys.stderr, instance=settings.pod_name
    )


async def _run_process(
    command: ServerCommand, settings: Settings, log: LogOutput, address: WorkerAddress | None
) -> None:
    raise_limit()
    if problem := shortfall(settings, dispatches=command.dispatches, has_api=command.has_api):
        _log.warning("open_files_limit_too_low", message=problem)
    process = ServerProcess(settings, log, address)
    async with process.open():
        await process.run(partial(command.serve, settings, process))
