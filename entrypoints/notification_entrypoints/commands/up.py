"""``notification-management up``: API, dispatcher and ops server in one process."""

import shutil
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import structlog
from attrs import frozen

from notification_core.version import VERSION
from notification_entrypoints.bootstrap import storage
from notification_entrypoints.bootstrap.application import open_application
from notification_entrypoints.bootstrap.kafka import open_kafka
from notification_entrypoints.config.databases import file_of, secret_path, up_defaults
from notification_entrypoints.config.settings import Settings, check_exposure, load_settings
from notification_entrypoints.process.run import ServerCommand, run_command
from notification_entrypoints.process.runtime import ServerProcess
from notification_entrypoints.process.serve_api import access_summary, serve_api

_DEFAULT_API = "http://127.0.0.1:3615/api"

_log = structlog.stdlib.get_logger("notification")


@frozen
class Served:
    """What runs, and where it is found."""

    api: str
    ops_url: str
    place: str
    secret_file: Path | None
    dispatching: bool
    access: str | None


def run(data: Path | None, environ: Mapping[str, str], workers: int = 1) -> None:
    """Serve until SIGINT or SIGTERM, with the files in the folder ``data`` or the current one.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    """
    run_command(command(data), environ, workers)


def command(data: Path | None) -> ServerCommand:
    """Return what each process of ``up`` does."""
    return ServerCommand(
        "up", partial(_load, data or Path()), _serve, has_api=True, dispatches=True
    )


def _load(data: Path, environ: Mapping[str, str]) -> Settings:
    settings = load_settings(environ, up_defaults(data, environ))
    check_exposure(settings)
    return settings


async def _serve(settings: Settings, process: ServerProcess) -> None:
    """Open everything in the order of need, say where it is, and close it in the opposite one."""
    async with AsyncExitStack() as stack:
        await storage.migrate(settings)
        application = await stack.enter_async_context(open_application(settings, process.observer))
        api_url = await stack.enter_async_context(serve_api(application, process))
        # Behind the API: what ends first leaves the group while the API still accepts requests.
        kafka = await stack.enter_async_context(open_kafka(application))
        access = await access_summary(application)
        database = file_of(settings.db.uri)
        # An embedded database's secret has a file, unless the environment gives it.
        secret_file = secret_path(database) if database else None
        served = Served(
            api=f"{api_url}/api",
            ops_url=process.ops_url,
            place=storage.place_of(settings),
            secret_file=secret_file if secret_file and secret_file.exists() else None,
            dispatching=application.dispatcher is not None,
            access=access,
        )
        # On a terminal the announcement below says the same, in fewer columns.
        log_start = _log.debug if sys.stderr.isatty() else _log.info
        log_start(
            "started",
            api_url=served.api,
            ops_url=served.ops_url,
            storage=served.place,
            key_file=str(served.secret_file) if served.secret_file else None,
            dispatching=served.dispatching,
            access=access or "authentication is disabled",
        )
        # After the log's lines, so that it is the last that a person reads.
        process.mark_ready(application, _announcement(served), shown=kafka.checks)
        await process.wait_for_stop()
        kafka.stop()
        application.wind_down()


def _announcement(served: Served) -> str:
    """Say where everything is, and what to type next."""
    option = "" if served.api == _DEFAULT_API else f" --api {served.api}"
    lines = [
        f"Notification Management {VERSION}",
        f"  API   {served.api}",
        f"  Docs  {served.api}/docs",
        f"  Ops   {served.ops_url}/readyz",
        f"  Data  {served.place}",
    ]
    if served.secret_file:
        lines.append(f"  Key   {served.secret_file} (required to decrypt the data: back it up)")
    if served.access:
        lines.append(f"  Auth  {served.access}")
    environment = uuid5(NAMESPACE_URL, served.place)
    lines += ["Next:", f"  {_program()} listen{option} --environment {environment}"]
    if not served.dispatching:
        lines.append("Warning: another process dispatches from this database; this one does not.")
    lines.append("")
    return "\n".join(lines)


def _program() -> str:
    """Return what calls this program: its name, or the path that was typed if it is not on PATH."""
    name, called = "notification-management", sys.argv[0]
    return called if called.endswith(f"/{name}") and not shutil.which(name) else name
