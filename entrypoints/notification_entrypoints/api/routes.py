"""Which handler answers which operation of the document, by its operationId."""

from collections.abc import Mapping
from typing import TypeAlias

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_core.model.event import Source
from notification_core.model.event_types import EVENT_TYPES
from notification_entrypoints.api.audit_trail import AuditOperations, AuditTrail
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
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.api.security.origin_policy import Surroundings
from notification_entrypoints.bootstrap.application import Application

Handlers: TypeAlias = Mapping[str, Handler]


@frozen
class _Shared:
    """What the operations have in common."""

    converter: ApiConverter
    paging: Paging
    auditing: AuditTrail
    idempotency: Idempotency
    surroundings: Surroundings


def handlers(
    application: Application, document: Document, callers: Callers, surroundings: Surroundings
) -> Handlers:
    """Return what answers each operation of the document."""
    auditing = AuditTrail(application.clock, application.ids, callers.address)
    shared = _Shared(
        converter=ApiConverter(application.settings.tz),
        paging=Paging(application.cursor_key),
        auditing=auditing,
        idempotency=Idempotency(application.storage.idempotency, application.clock, auditing),
        surroundings=surroundings,
    )
    return {
        **_of_webhooks(application, shared, document),
        **_of_deliveries(application, shared),
        **_of_events(application, shared),
        **_of_environments(application, shared),
        **_of_the_installation(application, shared, document),
    }


def _of_webhooks(application: Application, shared: _Shared, document: Document) -> Handlers:
    webhooks = WebhookOperations(
        subscriptions=application.webhooks,
        idempotency=shared.idempotency,
        auditing=shared.auditing,
        logs=application.storage.logs,
        converter=shared.converter,
        written=document.body_of("replaceWebhook"),
    )
    trials = TrialOperations(application.webhook_tester, shared.idempotency, shared.converter)
    logs = LogOperations(
        application.storage.logs, shared.converter, shared.paging, application.settings.tz
    )
    return {
        "listWebhooks": Handler(webhooks.list),
        "createWebhook": Handler(webhooks.create, judge=webhooks.judge),
        "getWebhook": Handler(webhooks.get),
        "replaceWebhook": Handler(webhooks.replace, judge=webhooks.judge),
        "changeWebhook": Handler(webhooks.patch, merges=True),
        "deleteWebhook": Handler(webhooks.delete),
        "testWebhook": Handler(trials.send, waits=application.webhook_tester.longest),
        "listWebhookLogs": Handler(logs.page),
    }


def _of_deliveries(application: Application, shared: _Shared) -> Handlers:
    deliveries = DeliveryOperations(
        application.storage.history, shared.converter, shared.paging, application.settings.tz
    )
    replays = ReplayOperations(
        application.replays, shared.idempotency, shared.auditing, shared.converter, shared.paging
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


def _of_events(application: Application, shared: _Shared) -> Handlers:
    events = EventOperations(
        ingest=application.ingests[Source.HTTP],
        idempotency=shared.idempotency,
        schemas=DataSchemas(EVENT_TYPES),
        tally=application.metrics,
        clock=application.clock,
        ids=application.ids,
        zone=application.settings.tz,
        converter=shared.converter,
    )
    return {
        "listEventTypes": Handler(events.types),
        "publishEvents": Handler(events.publish, raw=True),
    }


def _of_environments(application: Application, shared: _Shared) -> Handlers:
    environments = EnvironmentOperations(
        keys=application.signing_keys,
        erasures=application.erasures,
        idempotency=shared.idempotency,
        auditing=shared.auditing,
        signature_headers=application.settings.signature_headers,
        converter=shared.converter,
        surroundings=shared.surroundings,
    )
    audit = AuditOperations(application.storage.audit, shared.converter, shared.paging)
    return {
        "getJwks": Handler(JwksOperations(application.signing_keys).jwks),
        "getSettings": Handler(environments.settings),
        "eraseEnvironment": Handler(environments.erase),
        "getErasure": Handler(environments.erasure),
        "rotateVerificationKey": Handler(environments.rotate),
        "listAudit": Handler(audit.page),
        "listInstallationAudit": Handler(audit.page),
    }


def _of_the_installation(application: Application, shared: _Shared, document: Document) -> Handlers:
    keys = ApiKeyOperations(
        application.api_keys, shared.auditing, shared.converter, shared.paging, application.clock
    )

    async def openapi(_: ApiCall) -> web.Response:
        return json_answer(document.content)

    return {
        "listApiKeys": Handler(keys.page),
        "createApiKey": Handler(keys.create),
        "revokeApiKey": Handler(keys.revoke),
        "getOpenApi": Handler(openapi),
    }
