"""``notification-management up``: API, dispatcher and ops server in one process."""

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from aiohttp import web
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_core.errors import NotificationError
from notification_core.version import VERSION
from notification_entrypoints import storages
from notification_entrypoints.api.administrators import Administrators
from notification_entrypoints.api.app import api_app
from notification_entrypoints.api.callers import Callers
from notification_entrypoints.api.runner import ApiRunner
from notification_entrypoints.databases import file_of, secret_path, up_defaults
from notification_entrypoints.debug import add_debug_pages
from notification_entrypoints.logs import configure_logging
from notification_entrypoints.offering import api_callers, api_services
from notification_entrypoints.ops import Check, Info, Readiness, ops_app
from notification_entrypoints.servers import Bind, listening, stop_signals
from notification_entrypoints.settings import (
    Authentication,
    Settings,
    check_exposure,
    load_settings,
)
from notification_entrypoints.status import StatusReport, add_status_page
from notification_entrypoints.watch import Watch
from notification_entrypoints.wiring import Service, open_service

COMMIT = ""
"""The commit that a build is made from; a build from a checkout does not know it yet."""

_API_SHUTDOWN = timedelta(seconds=1)
_OPS_SHUTDOWN = timedelta(milliseconds=100)
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


class Starting(NotificationError):
    """The process is not ready yet."""


def run(data: Path | None, environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM, with the files in the folder ``data`` or the current one.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    """
    settings = load_settings(environ, up_defaults(data or Path(), environ))
    check_exposure(settings)
    configure_logging(settings.tz, debug=settings.debug, stream=sys.stderr)
    _run(_serve(settings))


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(main)


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's where it is installed: it is worth a tenth and more."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.new_event_loop
    return new_event_loop


async def _serve(settings: Settings) -> None:
    """Open everything in the order of need, say where it is, and close it in the opposite one."""
    _warn_of_what_is_not_there(settings)
    watch = Watch(VERSION, COMMIT, SystemClock().monotonic)
    checks: dict[str, Check] = {"start": _still_starting}
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        status = StatusReport(watch.last_minute, SystemClock().monotonic)
        administrators = Administrators()

        def add_pages(app: web.Application) -> None:
            add_status_page(app, status)
            add_debug_pages(app, settings, administrators.refusal)

        ops = _ops_runner(settings, watch, checks, stopping, add_pages)
        ops_url = await stack.enter_async_context(listening(ops, _ops_bind(settings)))
        await storages.migrate(settings)
        service = await stack.enter_async_context(open_service(settings, watch))
        callers = api_callers(settings, service)
        administrators.opened(callers)
        api = _api_runner(settings, service, watch, callers)
        api_url = await stack.enter_async_context(listening(api, _api_bind(settings)))
        checks["storage"] = service.storage.ping
        dispatcher = service.dispatcher
        status.opened(service.storage.backlog, lambda: dispatcher.worker if dispatcher else None)
        access = await _who_may_call(settings, service)
        del checks["start"]
        place, secret_file = storages.place_of(settings), _secret_file(settings)
        _announce(Served(api_url, ops_url, place, secret_file, service, access))
        _collect_rarely()
        await stop.wait()
        stopping.set()
        _log.info("stopping")


def _collect_rarely() -> None:
    """Keep the garbage collector from looking at what lives long, and at each batch anew.

    Deliveries are many small values without cycles, which die by their reference counts: at the
    default threshold the collector's walks cost a tenth of all deliveries per second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _warn_of_what_is_not_there(settings: Settings) -> None:
    """Say which settings this version reads and checks, but does not act on yet."""
    ignored = {
        "KAFKA_BROKERS": settings.kafka_brokers,
    }
    for variable in (name for name, value in ignored.items() if value):
        _log.warning("setting_has_no_effect_yet", variable=variable)


async def _still_starting() -> None:
    raise Starting("the process is starting")


def _ops_runner(
    settings: Settings,
    watch: Watch,
    checks: Mapping[str, Check],
    stopping: asyncio.Event,
    add_pages: Callable[[web.Application], None],
) -> web.AppRunner:
    info = Info(VERSION, COMMIT, settings.env, settings.pod_name, settings.pod_ip)
    readiness = Readiness(checks)
    app = ops_app(watch, readiness, info, stopping=stopping)
    add_pages(app)

    async def close(_: web.Application) -> None:
        await readiness.close()

    app.on_cleanup.append(close)
    timeout = _OPS_SHUTDOWN.total_seconds()
    return web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=timeout)


def _ops_bind(settings: Settings) -> Bind:
    return Bind(settings.ops_server_host, settings.ops_server_port, "OPS_SERVER_PORT")


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
