"""``notification-management consumer``: from Kafka through the storage to the receivers."""

import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog

from notification_core.errors import Detail, InvalidSettings
from notification_entrypoints.consuming import open_consuming
from notification_entrypoints.logs import configure_logging
from notification_entrypoints.offering import api_callers
from notification_entrypoints.processes import run_to_the_end, serving
from notification_entrypoints.settings import Settings, load_settings
from notification_entrypoints.storages import place_of
from notification_entrypoints.wiring import open_service

_log = structlog.stdlib.get_logger("notification")


def run(environ: Mapping[str, str]) -> None:
    """Consume until SIGINT or SIGTERM.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    Brokers that are away are waited for.
    """
    settings = load_settings(environ)
    _check(settings)
    configure_logging(settings.tz, debug=settings.debug, stream=sys.stderr)
    run_to_the_end(_serve(settings))


def _check(settings: Settings) -> None:
    if not settings.kafka_brokers:
        problem = "KAFKA_BROKERS is empty, but a consumer has nothing to do without Kafka"
        raise InvalidSettings(f"{problem}.", [Detail("KAFKA_BROKERS", problem)])


async def _serve(settings: Settings) -> None:
    """Open everything in the order of need, and close it in the opposite one."""
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(settings))
        service = await stack.enter_async_context(open_service(settings, process.watch))
        consuming = await stack.enter_async_context(
            open_consuming(settings, service, process.watch)
        )
        process.administrators.opened(api_callers(settings, service))
        process.ready(service, consuming.parts)
        _log.info(
            "started",
            ops=process.ops_url,
            storage=place_of(settings),
            dispatching=bool(service.dispatcher),
        )
        await process.until_stopped()
        consuming.stop()
        service.claim_no_more()
