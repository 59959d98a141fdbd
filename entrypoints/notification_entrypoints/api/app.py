"""The HTTP API as an aiohttp application: routes from the document, errors in one shape."""

import logging
import re

from aiohttp import web
from aiohttp.typedefs import Handler as Next
from aiohttp.typedefs import Middleware

from notification_core.model.caller import ANYBODY, Scope
from notification_entrypoints.api.audit_trail import REQUEST
from notification_entrypoints.api.endpoint import Endpoint, Timeouts
from notification_entrypoints.api.http.allowed_methods import path_pattern, tell_methods
from notification_entrypoints.api.http.bodies import BodyMemory
from notification_entrypoints.api.http.content_negotiation import pack
from notification_entrypoints.api.openapi.document import load_document
from notification_entrypoints.api.openapi.reference_page import add_reference_page
from notification_entrypoints.api.problems import REQUEST_ID, error_answer
from notification_entrypoints.api.routes import handlers
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.api.security.authorization import CALLER, Access
from notification_entrypoints.api.security.origin_policy import Surroundings
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.settings import is_loopback
from notification_entrypoints.observability.logs import NOT_SERVED

_log = logging.getLogger(__name__)
_log_not_served = logging.getLogger(NOT_SERVED)

_NO_ROUTE = "unmatched"
_SERVER_ERROR = 500
# What a caller may call a request: a UUID, or another token of ids, traces and clocks.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")


def api_app(
    application: Application, callers: Callers | None = None, prefix: str = "/api"
) -> web.Application:
    """Return the HTTP API of an application; mount it with an empty prefix under the host's own.

    ``callers`` tells who may call; without it those that the settings say are told apart here.
    """
    settings, storage = application.settings, application.storage
    document = load_document(settings.tz)
    callers = callers or api_callers(application)
    surroundings = Surroundings(
        proxies=settings.api_trusted_proxies,
        origins=settings.api_cors_origins,
        open=application.credentials is None,
        local=is_loopback(settings.api_server_host),
    )
    answering = handlers(application, document, callers, surroundings)
    app = web.Application(middlewares=[_edge(application, surroundings)])
    access = Access(callers, storage.webhooks, storage.history)
    memory = BodyMemory(settings.api_server_max_buffered)
    timeouts = Timeouts(settings.api_server_read_timeout, settings.api_server_write_timeout)
    endpoints = [
        Endpoint(operation, answering[operation.operation_id], timeouts, access, memory)
        for operation in document.operations
    ]
    # Routes are tried in their order: the hot path comes first.
    for endpoint in sorted(endpoints, key=lambda each: not each.handler.raw):
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
        application.settings.api_trusted_proxies,
        requests_per_second=application.settings.api_rate_limit,
    )


def _edge(application: Application, surroundings: Surroundings) -> Middleware:
    """Return what stands around every operation: ids, errors in one shape, packing, counting."""
    with_debug = application.settings.debug

    @web.middleware
    async def edge(request: web.Request, handler: Next) -> web.StreamResponse:
        request_id = request[REQUEST] = _request_id(request) or str(application.ids())
        response: web.StreamResponse
        try:
            surroundings.check(request)
            response = await handler(request)
            response.headers[REQUEST_ID] = request_id
        except Exception as error:  # noqa: BLE001 - whatever it was, it is answered in the one shape
            debug = with_debug and _is_administrators(request, surroundings)
            response = error_answer(error, request_id, debug=debug)
            _tell_operator(error, request_id, response.status)
        pack(request, response)
        surroundings.describe(request, response)
        application.metrics.api_request_ended(_route_of(request), response.status)
        return response

    return edge


def _request_id(request: web.Request) -> str | None:
    """Return the id that the caller gave the request, where it can be trusted in a log."""
    given = request.headers.get(REQUEST_ID)
    return given if given and _REQUEST_ID.fullmatch(given) else None


def _is_administrators(request: web.Request, surroundings: Surroundings) -> bool:
    """Tell whether an administrator sent a request.

    If authentication is disabled, everybody on this host is one.
    """
    caller = request.get(CALLER)
    if caller is None or caller is ANYBODY:
        return caller is ANYBODY and surroundings.is_on_this_host(request)
    return caller.may(Scope.ADMIN) and caller.environments is None


def _tell_operator(error: Exception, request_id: str, status: int) -> None:
    """Log what the answer does not say: the cause of a failure of ours."""
    known = {"request_id": request_id}
    if status == _SERVER_ERROR:
        _log.error("request_failed", extra=known, exc_info=error)
    elif status > _SERVER_ERROR:
        _log_not_served.warning("request_not_served", extra=known | {"cause": str(error)})


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else _NO_ROUTE
