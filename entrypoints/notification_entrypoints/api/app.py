"""The HTTP API as an aiohttp application: routes from the document, errors in one shape."""

import logging
import re

from aiohttp import web
from aiohttp.typedefs import Handler as Next
from aiohttp.typedefs import Middleware

from notification_core.model.caller import ANYBODY
from notification_entrypoints.api.audit_trail import REQUEST
from notification_entrypoints.api.endpoint import Endpoint, Timeouts
from notification_entrypoints.api.http.allowed_methods import path_pattern, tell_methods
from notification_entrypoints.api.http.content_negotiation import compress
from notification_entrypoints.api.http.requests import BodyMemory
from notification_entrypoints.api.openapi.document import load_document
from notification_entrypoints.api.openapi.reference_page import add_reference_page
from notification_entrypoints.api.problems import REQUEST_ID, error_answer
from notification_entrypoints.api.routes import handlers
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.api.security.authorization import (
    CALLER,
    Access,
    OriginPolicy,
    is_administrator,
)
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.parsers import is_loopback
from notification_entrypoints.observability.logs import UNAVAILABLE

_log = logging.getLogger(__name__)
_log_unavailable = logging.getLogger(UNAVAILABLE)

_NO_ROUTE = "unmatched"
_SERVER_ERROR = 500
# What a caller may call a request: a UUID, or another token of ids, traces and clocks.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")


def api_app(
    application: Application, callers: Callers | None = None, prefix: str = "/api"
) -> web.Application:
    """Return the HTTP API; mount it with an empty prefix where the host gives its own.

    ``callers`` tells who calls; without it, it is made here as the settings say.
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
    answering = handlers(application, document, callers, origin_policy)
    app = web.Application(middlewares=[_edge(application, origin_policy)])
    access = Access(callers, storage.webhooks, storage.history)
    memory = BodyMemory(settings.api.server_max_buffered)
    timeouts = Timeouts(settings.api.server_read_timeout, settings.api.server_write_timeout)
    endpoints = [
        Endpoint(operation, answering[operation.operation_id], timeouts, access, memory)
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


def _edge(application: Application, origin_policy: OriginPolicy) -> Middleware:
    """Return what stands around every operation: ids, errors in one shape, compression, counts."""
    with_debug, metrics = application.settings.debug, application.metrics

    @web.middleware
    async def edge(request: web.Request, handler: Next) -> web.StreamResponse:
        given = request.headers.get(REQUEST_ID, "")
        # The caller's own id is taken where it can be trusted in a log.
        request_id = given if _REQUEST_ID.fullmatch(given) else str(application.ids())
        request[REQUEST] = request_id
        response: web.StreamResponse
        try:
            origin_policy.check(request)
            response = await handler(request)
            response.headers[REQUEST_ID] = request_id
        except Exception as error:  # noqa: BLE001 - whatever it was, it is answered in the one shape
            debug = with_debug and _may_see_causes(request, origin_policy)
            response = error_answer(error, request_id, debug=debug)
            _tell_operator(error, request_id, response.status)
        compress(request, response)
        origin_policy.set_headers(request, response)
        resource = request.match_info.route.resource
        route = resource.canonical if resource else _NO_ROUTE
        metrics.api_request_finished(route, response.status)
        return response

    return edge


def _may_see_causes(request: web.Request, origin_policy: OriginPolicy) -> bool:
    """Tell whether an administrator sent a request.

    If authentication is disabled, everybody on this host is one.
    """
    caller = request.get(CALLER)
    if caller is None or caller is ANYBODY:
        return caller is ANYBODY and origin_policy.is_on_this_host(request)
    return is_administrator(caller)


def _tell_operator(error: Exception, request_id: str, status: int) -> None:
    """Log what the answer does not say: the cause of a failure of ours."""
    if status == _SERVER_ERROR:
        _log.error("request_failed", extra={"request_id": request_id}, exc_info=error)
    elif status > _SERVER_ERROR:
        _log_unavailable.warning(
            "service_unavailable", extra={"request_id": request_id, "cause": str(error)}
        )
