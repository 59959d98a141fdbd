"""The HTTP API as an aiohttp application: routes from the document, errors in one shape."""

from aiohttp import web

from notification_entrypoints.api.edge import ORIGIN_POLICY, OriginPolicy, edge
from notification_entrypoints.api.endpoint import ENDPOINTS, Endpoint, Timeouts
from notification_entrypoints.api.http.allowed_methods import path_pattern, tell_methods
from notification_entrypoints.api.http.requests import BodyMemory
from notification_entrypoints.api.openapi.document import load_document
from notification_entrypoints.api.openapi.reference_page import add_reference_page
from notification_entrypoints.api.routes import handlers
from notification_entrypoints.api.security.authentication import CALLERS, Callers
from notification_entrypoints.api.security.authorization import Access
from notification_entrypoints.api.tracing import publish_spans
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.parsers import is_loopback


def api_app(
    application: Application, callers: Callers | None = None, prefix: str = "/api"
) -> web.Application:
    """Return the HTTP API; mount it with an empty prefix where the host gives its own.

    ``callers`` names the caller; without it, it is made here as the settings say.
    """
    settings, storage = application.settings, application.storage
    document = load_document(settings.tz)
    callers = callers or api_callers(application)
    origin_policy = OriginPolicy(
        proxies=settings.api.trusted_proxies,
        origins=settings.api.cors_origins,
        open=application.credentials is None,
        local=is_loopback(settings.api.server_host),
    )
    by_operation = handlers(application, document, callers, origin_policy)
    middlewares = [edge(application, origin_policy)]
    if application.tracer.is_on:
        middlewares.insert(0, publish_spans(application.tracer))
    app = web.Application(middlewares=middlewares)
    access = Access(callers, storage.webhooks, storage.history)
    memory = BodyMemory(settings.api.server_max_buffered)
    timeouts = Timeouts(settings.api.server_read_timeout, settings.api.server_write_timeout)
    endpoints = [
        Endpoint(
            operation, by_operation[operation.operation_id], timeouts, access, memory, app.router
        )
        for operation in document.operations
    ]
    # Routes are tried in their order: the hot path comes first.
    for endpoint in sorted(endpoints, key=lambda endpoint: not endpoint.handler.parses_body):
        operation = endpoint.operation
        path = f"{prefix}{path_pattern(operation.path)}"
        app.router.add_route(operation.method, path, endpoint.handle, name=operation.operation_id)
        if operation.method == "GET":
            # The same without its body, which aiohttp leaves away.
            app.router.add_route("HEAD", path, endpoint.handle)
    app[CALLERS], app[ORIGIN_POLICY] = callers, origin_policy
    app[ENDPOINTS] = {endpoint.operation.operation_id: endpoint for endpoint in endpoints}
    application.metrics.api_routes(
        (operation.method, f"{prefix}{operation.path}") for operation in document.operations
    )
    add_reference_page(app, prefix)
    tell_methods(app)
    return app


def api_callers(application: Application) -> Callers:
    """Return who may call the API of an application, and how often."""
    return Callers(
        application.credentials,
        application.clock,
        application.settings.api.trusted_proxies,
        requests_per_second=application.settings.api.rate_limit,
    )
