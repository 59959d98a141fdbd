"""What a process offers over HTTP: its use cases, as the API takes them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from notification_core.model.event import Source
from notification_entrypoints.api.app import api_app
from notification_entrypoints.api.dependencies import ApiDependencies
from notification_entrypoints.api.endpoint import Timeouts
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.api.security.authorization import OriginPolicy
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.open_files import most_connections
from notification_entrypoints.config.settings import Authentication, Settings, is_loopback
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.process.api_runner import ApiRunner
from notification_entrypoints.process.runtime import ServerProcess
from notification_entrypoints.serving.http_server import Bind, listening


@asynccontextmanager
async def open_api(
    settings: Settings, service: Application, process: ServerProcess
) -> AsyncIterator[str]:
    """Serve the API of a service for the length of the block; gives the URL of its server.

    At its end requests are accepted until SHUTDOWN_DELAY is over, and may end while there is time.
    The process knows from the beginning on who is an administrator.
    """
    callers = api_callers(settings, service)
    process.administrators.opened(callers)
    services = api_services(settings, service, process.watch, callers)
    runner = ApiRunner(
        api_app(services),
        services,
        service.grace,
        max_connections=most_connections(settings),
    )
    shared = process.berth is not None
    variable = "API_SERVER_PORT"
    bind = Bind(settings.api_server_host, settings.api_server_port, variable, shared=shared)
    async with listening(runner, bind) as url:
        yield url
        await process.until_delay_is_over()


async def who_may_call(settings: Settings, service: Application) -> str | None:
    """Say what a caller needs, or that nobody has it yet; nothing where nobody is asked."""
    if service.credentials is None:
        return None
    only_keys = settings.api_auth == (Authentication.API_KEY,)
    if only_keys and not settings.api_bootstrap_key and not await service.issuing.page(1):
        return "nobody can call yet: start it with API_BOOTSTRAP_KEY, and make keys with that one"
    return "callers need a credential: client commands read it from NOTIFICATION_API_KEY"


def api_services(
    settings: Settings, service: Application, watch: Metrics, callers: Callers
) -> ApiDependencies:
    """Return what stands behind the API of a service."""
    return ApiDependencies(
        subscriptions=service.subscriptions,
        ingest=service.ingests[Source.HTTP],
        verification_keys=service.verification_keys,
        webhooks=service.storage.webhooks,
        logs=service.storage.logs,
        history=service.storage.history,
        replays=service.replays,
        trials=service.trials,
        erasures=service.erasures,
        idempotency=service.storage.idempotency,
        issuing=service.issuing,
        audit=service.storage.audit,
        callers=callers,
        origin_policy=OriginPolicy(
            proxies=settings.api_trusted_proxies,
            origins=settings.api_cors_origins,
            open=service.credentials is None,
            local=is_loopback(settings.api_server_host),
        ),
        clock=service.clock,
        ids=service.ids,
        signature_headers=settings.signature_headers,
        zone=settings.tz,
        cursor_key=service.cursor_key,
        timeouts=Timeouts(settings.api_server_read_timeout, settings.api_server_write_timeout),
        requests=watch.api_request_finished,
        tally=watch,
        max_buffered=settings.api_server_max_buffered,
        debug=settings.debug,
    )


def api_callers(settings: Settings, service: Application) -> Callers:
    """Return who may call the API of a service, and how often."""
    return Callers(
        service.credentials,
        service.clock,
        settings.api_trusted_proxies,
        requests_per_second=settings.api_rate_limit,
    )
