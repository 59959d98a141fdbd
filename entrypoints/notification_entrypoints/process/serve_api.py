"""Serving the HTTP API of an application in a process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from notification_entrypoints.api.app import api_app, api_callers
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.open_files import most_connections
from notification_entrypoints.config.parsers import Authentication
from notification_entrypoints.process.api_runner import ApiRunner
from notification_entrypoints.process.runtime import ServerProcess
from notification_entrypoints.serving.http_server import Bind, listening


@asynccontextmanager
async def serve_api(application: Application, process: ServerProcess) -> AsyncIterator[str]:
    """Serve the API for the length of the block; gives the URL of its server.

    At its end requests are accepted until SHUTDOWN_DELAY is over, and may end while there is time.
    The process knows from the beginning on who is an administrator.
    """
    settings = application.settings
    callers = api_callers(application)
    process.administrators.opened(callers)
    runner = ApiRunner(
        api_app(application, callers), application, max_connections=most_connections(settings)
    )
    shared = process.berth is not None
    variable = "API_SERVER_PORT"
    bind = Bind(settings.api.server_host, settings.api.server_port, variable, shared=shared)
    async with listening(runner, bind) as url:
        yield url
        await process.until_delay_is_over()


async def access_summary(application: Application) -> str | None:
    """Say what a caller needs, or that nobody has it yet; None if authentication is disabled."""
    settings = application.settings
    if application.credentials is None:
        return None
    only_keys = settings.api.auth == (Authentication.API_KEY,)
    if only_keys and not settings.api.bootstrap_key and not await application.api_keys.page(1):
        return "nobody can call yet: start it with API_BOOTSTRAP_KEY, and make keys with that one"
    return "callers need a credential: client commands read it from NOTIFICATION_API_KEY"
