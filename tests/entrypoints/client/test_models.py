"""The client's models and methods, held to the API's document."""

import pytest
from msgspec import Struct

from notification_client import (
    NewPortalSession,
    NotificationClient,
    PortalSession,
    dead_letters,
    models,
)
from notification_client.errors import FieldError
from tests.entrypoints.checked_api import DOCUMENT

SCHEMAS = DOCUMENT["components"]["schemas"]
MODELS: dict[str, type[Struct]] = {
    name: value
    for name, value in vars(models).items()
    if isinstance(value, type) and issubclass(value, Struct) and name in SCHEMAS
}
OTHERWISE: dict[str, type[Struct]] = {
    "DeadLetter": dead_letters.DeadLetter,
    "DeadLetterWithMessage": dead_letters.DeadLetterWithMessage,
    "ReplayedDeadLetter": dead_letters.ReplayedDeadLetter,
    "ErrorDetail": FieldError,
    "EnvironmentSettings": models.Settings,
    "LastError": models.LastAttempt,
    "NewPortalSession": NewPortalSession,
    "PortalSession": PortalSession,
}
# What is sent is a mapping of the client's own, or is what it makes of its parameters.
WITHOUT_A_MODEL = {
    *("ApiKeyDraft", "CloudEvent", "Error", "Jwks", "NewFilterTrial", "NewReplay", "NewTest"),
    *("NewVerificationKey", "PortalSessionDraft", "ProblemDetails", "SignatureForm"),
    "SigningSecretDraft",
}
# Read-only fields that a PUT takes and ignores, and what the client adds.
READ_ONLY = {"WebhookDraft", "WebhookPatch"}
OURS = {"Webhook": {"etag"}}
WITHOUT_A_METHOD = {"getOpenApi", "getJwks"}
METHODS = {
    "listEventTypes": "event_types",
    "publishEvents": "publish",
    "listEvents": "events",
    "getEvent": "event",
    "getEventBody": "event_body",
    "listWebhooks": "webhooks",
    "createWebhook": "create_webhook",
    "getWebhook": "webhook",
    "replaceWebhook": "replace_webhook",
    "changeWebhook": "change_webhook",
    "deleteWebhook": "delete_webhook",
    "testWebhook": "test_webhook",
    "tryFilter": "try_filter",
    "listSigningSecrets": "signing_secrets",
    "createSigningSecret": "create_signing_secret",
    "revokeSigningSecret": "revoke_signing_secret",
    "listWebhookLogs": "logs",
    "getWebhookStatistics": "webhook_statistics",
    "getEnvironmentStatistics": "environment_statistics",
    "listDeliveries": "deliveries",
    "getDelivery": "delivery",
    "retryDelivery": "redeliver",
    "listDeadLetters": "dead_letters",
    "getDeadLetter": "dead_letter",
    "replayDeadLetter": "replay_dead_letter",
    "startReplay": "start_replay",
    "listReplays": "replays",
    "getReplay": "replay",
    "cancelReplay": "cancel_replay",
    "getSettings": "settings",
    "rotateVerificationKey": "rotate_verification_key",
    "eraseEnvironment": "erase_environment",
    "getErasure": "erasure",
    "listPortalSessions": "portal_sessions",
    "createPortalSession": "create_portal_session",
    "revokePortalSession": "revoke_portal_session",
    "listApiKeys": "api_keys",
    "createApiKey": "create_api_key",
    "revokeApiKey": "revoke_api_key",
    "listAudit": "audit",
    "listInstallationAudit": "audit",
}


def _fields_of(name: str) -> set[str]:
    """Return the properties of a schema, with those of what it is composed of."""
    schema = SCHEMAS[name]
    composed = [
        part["$ref"].rpartition("/")[2] for part in schema.get("allOf", ()) if "$ref" in part
    ]
    own = set(schema.get("properties", ()))
    return own.union(*map(_fields_of, composed))


@pytest.mark.parametrize(("name", "model"), sorted((MODELS | OTHERWISE).items()))
def test_a_model_has_the_fields_of_its_schema(name: str, model: type[Struct]) -> None:
    fields = set(model.__struct_fields__) - OURS.get(name, set())
    documented = _fields_of(name)

    if name == "LastAttempt":
        documented = _fields_of("LastError")
    if name in READ_ONLY:
        assert fields <= documented
        documented &= _fields_of("Webhook") - _READ_ONLY_OF_A_WEBHOOK
    assert fields == documented


_READ_ONLY_OF_A_WEBHOOK = {
    name for name, of in SCHEMAS["WebhookDraft"]["properties"].items() if of.get("readOnly")
}


def test_every_schema_of_a_response_has_a_model() -> None:
    objects = {name for name in SCHEMAS if _fields_of(name)}

    assert objects - MODELS.keys() - OTHERWISE.keys() == WITHOUT_A_MODEL


def test_every_operation_has_a_method() -> None:
    operations = {
        operation["operationId"]
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        if isinstance(operation, dict) and "operationId" in operation
    }

    assert operations - METHODS.keys() == WITHOUT_A_METHOD
    assert all(callable(getattr(NotificationClient, name)) for name in METHODS.values())
