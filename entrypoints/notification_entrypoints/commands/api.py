"""``notification-management api``: the HTTP API; other processes deliver what it stores."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog

from notification_entrypoints.bootstrap.application import AdapterOverrides, open_application
from notification_entrypoints.bootstrap.kafka import watch_lag
from notification_entrypoints.bootstrap.storage import place_of
from notification_entrypoints.config.settings import Settings, check_exposure, load_settings
from notification_entrypoints.process.run import ServerCommand, run_command
from notification_entrypoints.process.runtime import ServerProcess
from notification_entrypoints.process.serve_api import access_summary, serve_api

_ONLY_STORES = AdapterOverrides(dispatches=False)

_log = structlog.stdlib.get_logger("notification")


def run(environ: Mapping[str, str], workers: int = 1) -> None:
    """Serve the API until SIGINT or SIGTERM, in so many processes.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    """
    run_command(COMMAND, environ, workers)


def _load(environ: Mapping[str, str]) -> Settings:
    settings = load_settings(environ)
    check_exposure(settings)
    return settings


async def _serve(settings: Settings, process: ServerProcess) -> None:
    """Open everything in the order of need, and close it in the opposite one."""
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(
            open_application(settings, process.observer, _ONLY_STORES)
        )
        await stack.enter_async_context(watch_lag(application))
        api_url = await stack.enter_async_context(serve_api(application, process))
        access = await access_summary(application)
        process.mark_ready(application)
        _log.info(
            "started",
            api_url=f"{api_url}/api",
            ops_url=process.ops_url,
            storage=place_of(settings),
            access=access or "authentication is disabled",
        )
        await process.wait_for_stop()
        application.wind_down()


COMMAND = ServerCommand("api", _load, _serve, has_api=True, dispatches=False)
