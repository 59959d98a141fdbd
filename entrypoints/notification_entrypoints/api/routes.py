"""Which handler answers which operation of the document, by its operationId."""

from collections.abc import Mapping

from aiohttp import web

from notification_adapters.converters import ApiConverter
from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_core.model.event_types import EVENT_TYPES
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.dependencies import ApiDependencies
from notification_entrypoints.api.endpoint import ApiCall, Handler, json_response
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.openapi.document import Document
from notification_entrypoints.api.operations.api_keys import ApiKeyOperations
from notification_entrypoints.api.operations.audit import AuditOperations
from notification_entrypoints.api.operations.deliveries import DeliveryOperations
from notification_entrypoints.api.operations.environments import EnvironmentOperations
from notification_entrypoints.api.operations.events import EventOperations
from notification_entrypoints.api.operations.replays import ReplayOperations
from notification_entrypoints.api.operations.webhooks import WebhookOperations
from notification_entrypoints.api.paging import Paging


def handlers(services: ApiDependencies, document: Document) -> Mapping[str, Handler]:
    """Return what answers each operation of the document."""
    converter, paging = ApiConverter(services.zone), Paging(services.cursor_key)
    audit_trail = AuditTrail(services.clock, services.ids, services.callers.address)
    idempotency = Idempotency(services.idempotency, services.clock, audit_trail)
    webhooks = WebhookOperations(
        subscriptions=services.subscriptions,
        tester=services.trials,
        idempotency=idempotency,
        audit_trail=audit_trail,
        logs=services.logs,
        converter=converter,
        written=document.body_of("replaceWebhook"),
    )
    events = EventOperations(
        ingest=services.ingest,
        idempotency=idempotency,
        schemas=DataSchemas(EVENT_TYPES),
        tally=services.tally,
        clock=services.clock,
        ids=services.ids,
        zone=services.zone,
        converter=converter,
    )
    environments = EnvironmentOperations(
        keys=services.verification_keys,
        erasures=services.erasures,
        idempotency=idempotency,
        audit_trail=audit_trail,
        signature_headers=services.signature_headers,
        converter=converter,
        origin_policy=services.origin_policy,
    )
    others = (
        DeliveryOperations(services.history, services.logs, converter, paging, services.zone),
        ReplayOperations(services.replays, idempotency, audit_trail, converter, paging),
        ApiKeyOperations(services.issuing, audit_trail, converter, paging, services.clock),
        AuditOperations(services.audit, converter, paging),
    )

    async def openapi(_: ApiCall) -> web.Response:
        return json_response(document.content)

    by_id = {"getOpenApi": Handler(openapi)}
    for operations in (webhooks, events, environments, *others):
        by_id |= operations.handlers
    return by_id
