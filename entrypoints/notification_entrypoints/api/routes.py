"""Which handler answers which operation of the document, by its operationId."""

from collections.abc import Mapping

from aiohttp import web

from notification_adapters.converters import ApiConverter
from notification_core.model.event import Source
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.edge import OriginPolicy
from notification_entrypoints.api.endpoint import ApiCall, Handler, json_response
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.openapi.document import Document
from notification_entrypoints.api.openapi.served_document import served_document
from notification_entrypoints.api.operations.api_keys import ApiKeyOperations
from notification_entrypoints.api.operations.audit import AuditOperations
from notification_entrypoints.api.operations.dead_letters import DeadLetterOperations
from notification_entrypoints.api.operations.deliveries import DeliveryOperations
from notification_entrypoints.api.operations.environments import EnvironmentOperations
from notification_entrypoints.api.operations.events import EventOperations
from notification_entrypoints.api.operations.portal_sessions import PortalSessionOperations
from notification_entrypoints.api.operations.replays import ReplayOperations
from notification_entrypoints.api.operations.signing_secrets import SigningSecretOperations
from notification_entrypoints.api.operations.statistics import StatisticsOperations
from notification_entrypoints.api.operations.webhooks import WebhookOperations
from notification_entrypoints.api.paging import Paging
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.policies import event_catalogues
from notification_entrypoints.config.settings import Settings


def handlers(
    application: Application, document: Document, callers: Callers, origin_policy: OriginPolicy
) -> Mapping[str, Handler]:
    """Return what answers each operation of the document."""
    settings, storage, clock = application.settings, application.storage, application.clock
    converter, paging = ApiConverter(settings.tz), Paging(application.cursor_key)
    audit_trail = AuditTrail(clock, application.ids, callers.address)
    idempotency = Idempotency(storage.idempotency, clock, audit_trail)
    webhooks = WebhookOperations(
        subscriptions=application.webhooks,
        tester=application.webhook_tester,
        filter_trials=application.filter_trials,
        idempotency=idempotency,
        audit_trail=audit_trail,
        logs=storage.logs,
        converter=converter,
        written=document.body_of("replaceWebhook"),
    )
    events = EventOperations(
        ingest=application.ingests[Source.HTTP],
        idempotency=idempotency,
        validation=application.validation,
        catalogues=event_catalogues(settings),
        metrics=application.metrics,
        tracer=application.tracer,
        clock=clock,
        ids=application.ids,
        zone=settings.tz,
        converter=converter,
    )
    environments = EnvironmentOperations(
        *(application.signing_keys, application.erasures, idempotency, audit_trail),
        signature_headers=settings.webhooks.signature_headers,
        converter=converter,
        origin_policy=origin_policy,
    )
    others = (
        SigningSecretOperations(application.signing_secrets, idempotency, audit_trail, converter),
        DeliveryOperations(storage.history, storage.logs, converter, paging, settings.tz),
        ReplayOperations(application.replays, idempotency, audit_trail, converter, paging),
        ApiKeyOperations(application.api_keys, audit_trail, converter, paging, clock),
        DeadLetterOperations(application.dead_letters, idempotency, paging),
        _portal_sessions(application, audit_trail, paging, origin_policy),
        AuditOperations(storage.audit, converter, paging),
        StatisticsOperations(storage.statistics, clock, converter, settings.tz),
    )
    by_id = {"getOpenApi": _document_handler(document, settings)}
    for operations in (webhooks, events, environments, *others):
        by_id |= operations.handlers
    return by_id


def _portal_sessions(
    application: Application, audit_trail: AuditTrail, paging: Paging, origin_policy: OriginPolicy
) -> PortalSessionOperations:
    origin = application.settings.console.origin
    return PortalSessionOperations(
        application.portal_sessions, audit_trail, paging, origin_policy, origin
    )


def _document_handler(document: Document, settings: Settings) -> Handler:
    content = served_document(
        document.root, event_catalogues(settings), settings.webhooks.signature_headers
    )

    async def respond(_: ApiCall) -> web.Response:
        return json_response(content)

    return Handler(respond)
