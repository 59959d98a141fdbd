"""The HTTP API as an aiohttp application: routes from the document, errors in one shape."""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import tzinfo
from uuid import UUID

from aiohttp import web
from aiohttp.typedefs import Handler as Next
from aiohttp.typedefs import Middleware
from attrs import field, frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.schemas import DataSchemas
from notification_core.catalogue import CATALOGUE
from notification_core.erasing import Erasures
from notification_core.ingest import Ingest
from notification_core.issuing import Issuing
from notification_core.ports.audit import AuditLog
from notification_core.ports.clock import Clock
from notification_core.ports.history import History
from notification_core.ports.idempotency import IdempotencyStore
from notification_core.ports.logs import LogStore
from notification_core.ports.webhooks import WebhookStore
from notification_core.replays import Replays
from notification_core.signing import SignatureHeaders
from notification_core.subscriptions import Subscriptions
from notification_core.trials import Trials
from notification_core.verification_keys import VerificationKeys
from notification_entrypoints.api.access import Access
from notification_entrypoints.api.answers import json_answer
from notification_entrypoints.api.auditing import REQUEST, Auditing, AuditOperations
from notification_entrypoints.api.callers import Callers
from notification_entrypoints.api.calls import Call, Endpoint, Handler, Timeouts
from notification_entrypoints.api.deliveries import DeliveryOperations
from notification_entrypoints.api.document import Document, load_document
from notification_entrypoints.api.environments import EnvironmentOperations
from notification_entrypoints.api.events import EventOperations, Tally
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.jwks import JwksOperations
from notification_entrypoints.api.keys import ApiKeyOperations
from notification_entrypoints.api.logs import LogOperations
from notification_entrypoints.api.methods import tell_methods
from notification_entrypoints.api.negotiation import pack
from notification_entrypoints.api.paging import Paging
from notification_entrypoints.api.problems import REQUEST_ID, error_answer
from notification_entrypoints.api.reference import add_reference_page
from notification_entrypoints.api.replays import ReplayOperations
from notification_entrypoints.api.surroundings import Surroundings
from notification_entrypoints.api.trials import TrialOperations
from notification_entrypoints.api.webhooks import WebhookOperations

_log = logging.getLogger(__name__)

_NO_ROUTE = "unmatched"
_SERVER_ERROR = 500
# What a caller may call a request: a UUID, or another token of ids, traces and clocks.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")


@frozen
class Services:
    """What the API offers over HTTP, and how.

    A date without an offset is taken in ``zone``. ``cursor_key`` seals the cursors of pages: it is
    the same in every process, so that one takes what another gave. ``requests`` is told the route
    and the status of every answer. With ``debug`` errors tell their cause.
    """

    subscriptions: Subscriptions
    ingest: Ingest
    verification_keys: VerificationKeys
    webhooks: WebhookStore
    logs: LogStore
    history: History
    replays: Replays
    trials: Trials
    erasures: Erasures
    idempotency: IdempotencyStore
    issuing: Issuing
    audit: AuditLog
    callers: Callers
    surroundings: Surroundings
    clock: Clock
    ids: Callable[[], UUID]
    signature_headers: SignatureHeaders
    zone: tzinfo
    cursor_key: bytes = field(repr=False)
    timeouts: Timeouts
    requests: Callable[[str, int], None]
    tally: Tally
    debug: bool = False


def api_app(services: Services, prefix: str = "/api") -> web.Application:
    """Return the application; mount it with an empty prefix where the host gives its own."""
    document = load_document(services.zone)
    handlers = _handlers(services, document)
    app = web.Application(middlewares=[_edge(services)])
    access = Access(services.callers, services.webhooks, services.history)
    endpoints = [
        Endpoint(operation, handlers[operation.operation_id], services.timeouts, access)
        for operation in document.operations
    ]
    # Routes are tried in their order: the hot path comes first.
    for endpoint in sorted(endpoints, key=lambda each: not each.handler.raw):
        operation = endpoint.operation
        path = f"{prefix}{operation.path}"
        app.router.add_route(operation.method, path, endpoint.handle, name=operation.operation_id)
        if operation.method == "GET":
            # The same without its body, which aiohttp leaves away.
            app.router.add_route("HEAD", path, endpoint.handle)
    add_reference_page(app, prefix)
    tell_methods(app)
    return app


def _handlers(services: Services, document: Document) -> Mapping[str, Handler]:
    """Return what answers each operation of the document, by its operationId."""
    converter = ApiConverter(services.zone)
    paging = Paging(services.cursor_key)
    auditing = Auditing(services.clock, services.ids, services.callers.address)
    idempotency = Idempotency(services.idempotency, services.clock, auditing)
    webhooks = WebhookOperations(
        subscriptions=services.subscriptions,
        idempotency=idempotency,
        auditing=auditing,
        logs=services.logs,
        converter=converter,
        written=document.body_of("replaceWebhook"),
    )
    logs = LogOperations(services.logs, converter, paging, services.zone)
    deliveries = DeliveryOperations(services.history, converter, paging, services.zone)
    replays = ReplayOperations(services.replays, idempotency, auditing, converter, paging)
    trials = TrialOperations(services.trials, idempotency, converter)
    environments = EnvironmentOperations(
        keys=services.verification_keys,
        erasures=services.erasures,
        idempotency=idempotency,
        auditing=auditing,
        signature_headers=services.signature_headers,
        converter=converter,
    )
    events = EventOperations(
        ingest=services.ingest,
        idempotency=idempotency,
        schemas=DataSchemas(CATALOGUE),
        tally=services.tally,
        clock=services.clock,
        ids=services.ids,
        zone=services.zone,
        converter=converter,
    )

    audit = AuditOperations(services.audit, converter, paging)
    keys = ApiKeyOperations(services.issuing, auditing, converter, paging, services.clock)

    async def openapi(_: Call) -> web.Response:
        return json_answer(document.content)

    return {
        "listWebhooks": Handler(webhooks.list),
        "createWebhook": Handler(webhooks.create, judge=webhooks.judge),
        "getWebhook": Handler(webhooks.get),
        "replaceWebhook": Handler(webhooks.replace, judge=webhooks.judge),
        "changeWebhook": Handler(webhooks.patch, merges=True),
        "deleteWebhook": Handler(webhooks.delete),
        "testWebhook": Handler(trials.send, waits=services.trials.longest),
        "listWebhookLogs": Handler(logs.page),
        "listDeliveries": Handler(deliveries.of_webhook),
        "getDelivery": Handler(deliveries.get),
        "retryDelivery": Handler(replays.retry),
        "startReplay": Handler(replays.start),
        "listReplays": Handler(replays.of_webhook),
        "getReplay": Handler(replays.get),
        "cancelReplay": Handler(replays.cancel),
        "listEvents": Handler(deliveries.events),
        "getEvent": Handler(deliveries.of_event),
        "listEventTypes": Handler(events.types),
        "publishEvents": Handler(events.publish, raw=True),
        "getJwks": Handler(JwksOperations(services.verification_keys).jwks),
        "getSettings": Handler(environments.settings),
        "eraseEnvironment": Handler(environments.erase),
        "getErasure": Handler(environments.erasure),
        "rotateVerificationKey": Handler(environments.rotate),
        "listAudit": Handler(audit.page),
        "listInstallationAudit": Handler(audit.page),
        "listApiKeys": Handler(keys.page),
        "createApiKey": Handler(keys.create),
        "revokeApiKey": Handler(keys.revoke),
        "getOpenApi": Handler(openapi),
    }


def _edge(services: Services) -> Middleware:
    """Return what stands around every operation: ids, errors in one shape, packing, counting."""

    @web.middleware
    async def edge(request: web.Request, handler: Next) -> web.StreamResponse:
        request_id = request[REQUEST] = _request_id(request) or str(services.ids())
        response: web.StreamResponse
        try:
            services.surroundings.check(request)
            response = await handler(request)
            response.headers[REQUEST_ID] = request_id
        except Exception as error:  # noqa: BLE001 - whatever it was, it is answered in the one shape
            response = error_answer(error, request_id, debug=services.debug)
            _tell_operator(error, request_id, response.status)
        pack(request, response)
        services.surroundings.describe(request, response)
        services.requests(_route_of(request), response.status)
        return response

    return edge


def _request_id(request: web.Request) -> str | None:
    """Return the id that the caller gave the request, where it can be trusted in a log."""
    given = request.headers.get(REQUEST_ID)
    return given if given and _REQUEST_ID.fullmatch(given) else None


def _tell_operator(error: Exception, request_id: str, status: int) -> None:
    """Log what the answer does not say: the cause of a failure of ours."""
    known = {"request_id": request_id}
    if status == _SERVER_ERROR:
        _log.error("request_failed", extra=known, exc_info=error)
    elif status > _SERVER_ERROR:
        _log.warning("request_not_served", extra=known | {"cause": str(error)})


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else _NO_ROUTE
