"""``notification-management api``: the HTTP API; other processes deliver what it stores."""

import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog

from notification_entrypoints.logs import configure_logging
from notification_entrypoints.offering import open_api, who_may_call
from notification_entrypoints.processes import run_to_the_end, serving
from notification_entrypoints.settings import Settings, check_exposure, load_settings
from notification_entrypoints.storages import place_of
from notification_entrypoints.wiring import Adapters, open_service

_ONLY_STORES = Adapters(dispatches=False)

_log = structlog.stdlib.get_logger("notification")


def run(environ: Mapping[str, str]) -> None:
    """Serve the API until SIGINT or SIGTERM.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    """
    settings = load_settings(environ)
    check_exposure(settings)
    configure_logging(settings.tz, debug=settings.debug, stream=sys.stderr)
    run_to_the_end(_serve(settings))


async def _serve(settings: Settings) -> None:
    """Open everything in the order of need, and close it in the opposite one."""
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(settings))
        service = await stack.enter_async_context(
            open_service(settings, process.watch, _ONLY_STORES)
        )
        api_url = await stack.enter_async_context(
            open_api(settings, service, process.watch, process.administrators)
        )
        access = await who_may_call(settings, service)
        process.ready(service, {})
        _log.info(
            "started",
            api=f"{api_url}/api",
            ops=process.ops_url,
            storage=place_of(settings),
            access=access or "nobody is asked",
        )
        await process.until_stopped()
