"""``notification-management consumer``: from Kafka through the storage to the receivers."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog

from notification_core.errors import Detail, InvalidSettings
from notification_entrypoints.api.app import api_callers
from notification_entrypoints.bootstrap.application import open_application
from notification_entrypoints.bootstrap.kafka import open_kafka
from notification_entrypoints.bootstrap.storage import place_of
from notification_entrypoints.config.settings import Settings, load_settings
from notification_entrypoints.process.run import ServerCommand, run_command
from notification_entrypoints.process.runtime import ServerProcess

_log = structlog.stdlib.get_logger("notification")


def run(environ: Mapping[str, str], workers: int = 1) -> None:
    """Consume until SIGINT or SIGTERM, in so many processes.

    Raises :class:`NotificationError` where it cannot start; the message says what would help.
    Brokers that are unavailable are waited for.
    """
    run_command(COMMAND, environ, workers)


def _load(environ: Mapping[str, str]) -> Settings:
    settings = load_settings(environ)
    if not settings.kafka.brokers:
        problem = "KAFKA_BROKERS is empty, but a consumer has nothing to do without Kafka"
        raise InvalidSettings(f"{problem}.", [Detail("KAFKA_BROKERS", problem)])
    return settings


async def _serve(settings: Settings, process: ServerProcess) -> None:
    """Open everything in the order of need, and close it in the opposite one."""
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(open_application(settings, process.observer))
        kafka = await stack.enter_async_context(open_kafka(application))
        process.administrators.opened(api_callers(application))
        process.mark_ready(application, required=kafka.checks)
        _log.info(
            "started",
            ops_url=process.ops_url,
            storage=place_of(settings),
            dispatching=bool(application.dispatcher),
        )
        await process.wait_for_stop()
        kafka.stop()
        application.wind_down()


COMMAND = ServerCommand("consumer", _load, _serve, has_api=False, dispatches=True)
