"""``notification-management up``: API, dispatcher and ops server in one process."""

import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import structlog
from attrs import frozen

from notification_core.version import VERSION
from notification_entrypoints import storages
from notification_entrypoints.api.app import api_app
from notification_entrypoints.api.callers import Callers
from notification_entrypoints.api.runner import ApiRunner
from notification_entrypoints.consuming import open_consuming
from notification_entrypoints.databases import file_of, secret_path, up_defaults
from notification_entrypoints.logs import configure_logging
from notification_entrypoints.offering import api_callers, api_services
from notification_entrypoints.processes import run_to_the_end, serving
from notification_entrypoints.servers import Bind, listening
from notification_entrypoints.settings import (
    Authentication,
    Settings,
    check_exposure,
    load_settings,
)
from notification_entrypoints.watch import Watch
from notification_entrypoints.wiring import Service, open_service

_API_SHUTDOWN = timedelta(seconds=1)
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
        callers = api_callers(settings, service)
        process.administrators.opened(callers)
        api = _api_runner(settings, service, process.watch, callers)
        api_url = await stack.enter_async_context(listening(api, _api_bind(settings)))
        access = await _who_may_call(settings, service)
        process.ready(service, consuming.parts)
        place, secret_file = storages.place_of(settings), _secret_file(settings)
        _announce(Served(api_url, process.ops_url, place, secret_file, service, access))
        await process.until_stopped()
        consuming.stop()
        service.claim_no_more()


def _api_runner(settings: Settings, service: Service, watch: Watch, callers: Callers) -> ApiRunner:
    services = api_services(settings, service, watch, callers)
    return ApiRunner(api_app(services), services, shutdown_timeout=_API_SHUTDOWN)


def _api_bind(settings: Settings) -> Bind:
    return Bind(settings.api_server_host, settings.api_server_port, "API_SERVER_PORT")


def _secret_file(settings: Settings) -> Path | None:
    """Return the file of the embedded database's secret, if one was made."""
    database = file_of(settings.db_uri)
    path = secret_path(database) if database else None
    return path if path and path.exists() else None


async def _who_may_call(settings: Settings, service: Service) -> str | None:
    """Say what a caller needs, or that nobody has it yet; nothing where nobody is asked."""
    if service.credentials is None:
        return None
    only_keys = settings.api_auth == (Authentication.API_KEY,)
    if only_keys and not settings.api_bootstrap_key and not await service.issuing.page(1):
        return "nobody can call yet: start it with API_BOOTSTRAP_KEY, and make keys with that one"
    return "callers need a credential: client commands read it from NOTIFICATION_API_KEY"


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
