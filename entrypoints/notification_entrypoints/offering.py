"""What a process offers over HTTP: its use cases, as the API takes them."""

from notification_core.events import Source
from notification_entrypoints.api.app import Services
from notification_entrypoints.api.callers import Callers
from notification_entrypoints.api.calls import Timeouts
from notification_entrypoints.api.surroundings import Surroundings
from notification_entrypoints.metrics import Metrics
from notification_entrypoints.settings import Settings, is_loopback
from notification_entrypoints.wiring import Service, cursor_key


def api_services(
    settings: Settings, service: Service, watch: Metrics, callers: Callers
) -> Services:
    """Return what stands behind the API of a service."""
    return Services(
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
        surroundings=Surroundings(
            proxies=settings.api_trusted_proxies,
            origins=settings.api_cors_origins,
            open=service.credentials is None,
            local=is_loopback(settings.api_server_host),
        ),
        clock=service.clock,
        ids=service.ids,
        signature_headers=settings.signature_headers,
        zone=settings.tz,
        cursor_key=cursor_key(settings),
        timeouts=Timeouts(settings.api_server_read_timeout, settings.api_server_write_timeout),
        requests=watch.api_request_ended,
        tally=watch,
        debug=settings.debug,
    )


def api_callers(settings: Settings, service: Service) -> Callers:
    """Return who may call the API of a service, and how often."""
    return Callers(
        service.credentials,
        service.clock,
        settings.api_trusted_proxies,
        requests_per_second=settings.api_rate_limit,
    )
