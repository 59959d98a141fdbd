"""What the processes of a command do, and how they are run: one alone, or several side by side."""

import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import structlog
from attrs import frozen

from notification_core.errors import Detail, InvalidSettings
from notification_entrypoints.config.databases import file_of
from notification_entrypoints.config.open_files import raise_limit, shortfall
from notification_entrypoints.config.report import unknown_variables
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.log_output import LogOutput
from notification_entrypoints.observability.logs import configure_logging
from notification_entrypoints.process.runtime import ServerProcess, run_to_the_end, serving
from notification_entrypoints.serving.worker_channel import WorkerAddress

_log = structlog.stdlib.get_logger("notification")


@frozen
class ServerCommand:
    """What each process of a command does.

    ``load`` reads its settings and refuses what contradicts them; ``serve`` opens everything, says
    that the process is ready, and closes it all once that is told to stop. With ``has_api`` its
    processes listen for the API, with ``dispatches`` they send.
    """

    command: str
    load: Callable[[Mapping[str, str]], Settings]
    serve: Callable[[Settings, ServerProcess], Coroutine[Any, Any, None]]
    has_api: bool
    dispatches: bool


def run(role: ServerCommand, environ: Mapping[str, str], workers: int = 1) -> None:
    """Run a command until it is stopped, in one process or in several under a supervisor.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    """
    settings = role.load(environ)
    if workers > 1:
        _check(role, settings)
    log = _configured(settings)
    for unknown in unknown_variables(environ):
        _log.warning("unknown_variable", variable=unknown.name, nearest=unknown.nearest)
    if workers == 1:
        run_to_the_end(_run_one(role, settings, log, None))
    else:
        from notification_entrypoints.process.supervisor.supervisor import WorkerPool, supervise  # noqa: PLC0415 - only where needed

        crew = WorkerPool(role.command, workers, environ, shares_port=role.has_api)
        run_to_the_end(supervise(settings, crew, log))


def run_worker(role: ServerCommand, environ: Mapping[str, str], berth: WorkerAddress) -> None:
    """Run one of several processes until it is stopped."""
    settings = role.load(environ)
    log = _configured(settings)
    structlog.contextvars.bind_contextvars(worker=berth.number)
    run_to_the_end(_run_one(role, settings, log, berth))


def _configured(settings: Settings) -> LogOutput:
    return configure_logging(
        settings.tz, debug=settings.debug, stream=sys.stderr, instance=settings.pod_name
    )


async def _run_one(
    role: ServerCommand, settings: Settings, log: LogOutput, berth: WorkerAddress | None
) -> None:
    raise_limit()
    if problem := shortfall(settings, dispatches=role.dispatches, has_api=role.has_api):
        _log.warning("open_files_limit_too_low", message=problem)
    async with serving(settings, log, berth) as process:
        await process.run(partial(role.serve, settings, process))


def _check(role: ServerCommand, settings: Settings) -> None:
    file = file_of(settings.db.uri)
    if file and role.dispatches:
        problem = (
            f"DB_URI names the SQLite file {file}, which one process sends from; for --workers it "
            "must be a PostgreSQL server (postgresql://… or host:port)"
        )
        raise InvalidSettings(f"{problem}.", [Detail("DB_URI", problem)])
