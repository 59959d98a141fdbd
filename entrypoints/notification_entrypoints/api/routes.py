"""Which handler answers which operation of the document, by its operationId."""

from collections.abc import Mapping
from typing import TypeAlias

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_core.model.event_types import EVENT_TYPES
from notification_entrypoints.api.audit_trail import AuditOperations, AuditTrail
from notification_entrypoints.api.dependencies import ApiDependencies
from notification_entrypoints.api.endpoint import ApiCall, Handler
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.openapi.document import Document
from notification_entrypoints.api.operations.api_keys import ApiKeyOperations
from notification_entrypoints.api.operations.deliveries import DeliveryOperations
from notification_entrypoints.api.operations.environments import EnvironmentOperations
from notification_entrypoints.api.operations.events import EventOperations
from notification_entrypoints.api.operations.jwks import JwksOperations
from notification_entrypoints.api.operations.logs import LogOperations
from notification_entrypoints.api.operations.replays import ReplayOperations
from notification_entrypoints.api.operations.webhook_tests import TrialOperations
from notification_entrypoints.api.operations.webhooks import WebhookOperations
from notification_entrypoints.api.paging import Paging
from notification_entrypoints.api.responses import json_answer

Handlers: TypeAlias = Mapping[str, Handler]


@frozen
class _Shared:
    """What the operations have in common."""

    converter: ApiConverter
    paging: Paging
    auditing: AuditTrail
    idempotency: Idempotency


def handlers(services: ApiDependencies, document: Document) -> Handlers:
    """Return what answers each operation of the document."""
    auditing = AuditTrail(services.clock, services.ids, services.callers.address)
    shared = _Shared(
        converter=ApiConverter(services.zone),
        paging=Paging(services.cursor_key),
        auditing=auditing,
        idempotency=Idempotency(services.idempotency, services.clock, auditing),
    )
    return {
        **_of_webhooks(services, shared, document),
        **_of_deliveries(services, shared),
        **_of_events(services, shared),
        **_of_environments(services, shared),
        **_of_the_installation(services, shared, document),
    }


def _of_webhooks(services: ApiDependencies, shared: _Shared, document: Document) -> Handlers:
    webhooks = WebhookOperations(
        subscriptions=services.subscriptions,
        idempotency=shared.idempotency,
        auditing=shared.auditing,
        logs=services.logs,
        converter=shared.converter,
        written=document.body_of("replaceWebhook"),
    )
    trials = TrialOperations(services.trials, shared.idempotency, shared.converter)
    logs = LogOperations(services.logs, shared.converter, shared.paging, services.zone)
    return {
        "listWebhooks": Handler(webhooks.list),
        "createWebhook": Handler(webhooks.create, judge=webhooks.judge),
        "getWebhook": Handler(webhooks.get),
        "replaceWebhook": Handler(webhooks.replace, judge=webhooks.judge),
        "changeWebhook": Handler(webhooks.patch, merges=True),
        "deleteWebhook": Handler(webhooks.delete),
        "testWebhook": Handler(trials.send, waits=services.trials.longest),
        "listWebhookLogs": Handler(logs.page),
    }


def _of_deliveries(services: ApiDependencies, shared: _Shared) -> Handlers:
    deliveries = DeliveryOperations(
        services.history, shared.converter, shared.paging, services.zone
    )
    replays = ReplayOperations(
        services.replays, shared.idempotency, shared.auditing, shared.converter, shared.paging
    )
    return {
        "listDeliveries": Handler(deliveries.of_webhook),
        "getDelivery": Handler(deliveries.get),
        "retryDelivery": Handler(replays.retry),
        "startReplay": Handler(replays.start),
        "listReplays": Handler(replays.of_webhook),
        "getReplay": Handler(replays.get),
        "cancelReplay": Handler(replays.cancel),
        "listEvents": Handler(deliveries.events),
        "getEvent": Handler(deliveries.of_event),
    }


def _of_events(services: ApiDependencies, shared: _Shared) -> Handlers:
    events = EventOperations(
        ingest=services.ingest,
        idempotency=shared.idempotency,
        schemas=DataSchemas(EVENT_TYPES),
        tally=services.tally,
        clock=services.clock,
        ids=services.ids,
        zone=services.zone,
        converter=shared.converter,
    )
    return {
        "listEventTypes": Handler(events.types),
        "publishEvents": Handler(events.publish, raw=True),
    }


def _of_environments(services: ApiDependencies, shared: _Shared) -> Handlers:
    environments = EnvironmentOperations(
        keys=services.verification_keys,
        erasures=services.erasures,
        idempotency=shared.idempotency,
        auditing=shared.auditing,
        signature_headers=services.signature_headers,
        converter=shared.converter,
        surroundings=services.surroundings,
    )
    audit = AuditOperations(services.audit, shared.converter, shared.paging)
    return {
        "getJwks": Handler(JwksOperations(services.verification_keys).jwks),
        "getSettings": Handler(environments.settings),
        "eraseEnvironment": Handler(environments.erase),
        "getErasure": Handler(environments.erasure),
        "rotateVerificationKey": Handler(environments.rotate),
        "listAudit": Handler(audit.page),
        "listInstallationAudit": Handler(audit.page),
    }


def _of_the_installation(
    services: ApiDependencies, shared: _Shared, document: Document
) -> Handlers:
    keys = ApiKeyOperations(
        services.issuing, shared.auditing, shared.converter, shared.paging, services.clock
    )

    async def openapi(_: ApiCall) -> web.Response:
        return json_answer(document.content)

    return {
        "listApiKeys": Handler(keys.page),
        "createApiKey": Handler(keys.create),
        "revokeApiKey": Handler(keys.revoke),
        "getOpenApi": Handler(openapi),
    }
