"""``notification-management up``: API, dispatcher and ops server in one process."""

import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import structlog
from attrs import frozen

from notification_core.version import VERSION
from notification_entrypoints import storages
from notification_entrypoints.consuming import open_consuming
from notification_entrypoints.databases import file_of, secret_path, up_defaults
from notification_entrypoints.logs import configure_logging
from notification_entrypoints.offering import open_api, who_may_call
from notification_entrypoints.processes import run_to_the_end, serving
from notification_entrypoints.settings import Settings, check_exposure, load_settings
from notification_entrypoints.wiring import Service, open_service

_DEFAULT_API = "http://127.0.0.1:3615/api"

_log = structlog.stdlib.get_logger("notification")


@frozen
class Served:
    """What runs, and where it is found."""

    api_url: str
    ops_url: str
    place: str
    secret_file: Path | None
    service: Service
    access: str | None


def run(data: Path | None, environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM, with the files in the folder ``data`` or the current one.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    """
    settings = load_settings(environ, up_defaults(data or Path(), environ))
    check_exposure(settings)
    configure_logging(settings.tz, debug=settings.debug, stream=sys.stderr)
    run_to_the_end(_serve(settings))


async def _serve(settings: Settings) -> None:
    """Open everything in the order of need, say where it is, and close it in the opposite one."""
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(settings))
        await storages.migrate(settings)
        service = await stack.enter_async_context(open_service(settings, process.watch))
        consuming = await stack.enter_async_context(
            open_consuming(settings, service, process.watch)
        )
        api_url = await stack.enter_async_context(
            open_api(settings, service, process.watch, process.administrators)
        )
        access = await who_may_call(settings, service)
        process.ready(service, consuming.parts)
        place, secret_file = storages.place_of(settings), _secret_file(settings)
        _announce(Served(api_url, process.ops_url, place, secret_file, service, access))
        await process.until_stopped()
        consuming.stop()
        service.claim_no_more()


def _secret_file(settings: Settings) -> Path | None:
    """Return the file of the embedded database's secret, if one was made."""
    database = file_of(settings.db_uri)
    path = secret_path(database) if database else None
    return path if path and path.exists() else None


def _announce(served: Served) -> None:
    """Say where everything is, and what to type next."""
    api = f"{served.api_url}/api"
    option = "" if api == _DEFAULT_API else f" --api {api}"
    lines = [
        f"Notification Management {VERSION}",
        f"  API   {api}",
        f"  Docs  {api}/docs",
        f"  Ops   {served.ops_url}/readyz",
        f"  Data  {served.place}",
    ]
    if served.secret_file:
        lines.append(f"  Key   {served.secret_file} (keep it: it opens the data)")
    if served.access:
        lines.append(f"  Auth  {served.access}")
    if served.service.dispatcher is None:
        lines.append("  Another process already sends from this database: this one only publishes.")
    lines += ["Next:", f"  notification-management listen{option} --environment {uuid4()}", ""]
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()
    _log.info("started", api=api, ops=served.ops_url, dispatching=bool(served.service.dispatcher))
