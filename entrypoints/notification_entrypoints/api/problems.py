"""The catalogue of errors of the API, and the response that each of them becomes.

The numbers are grouped by hundreds: 10xx HTTP, 11xx validation, 12xx webhooks, 13xx events,
14xx deliveries, 15xx environments, 16xx authentication and authorization, 19xx availability. A
number never changes its meaning; new ones are added.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType

from aiohttp import web
from attrs import frozen

from notification_core.errors import (
    ApiKeyNotFound,
    DeadLetterNotFound,
    DeliveryNotFound,
    Detail,
    DirectoryUnavailable,
    EnvironmentBeingErased,
    EnvironmentNotFound,
    ErasureNotFound,
    EventGone,
    EventNotFound,
    InvalidEvent,
    InvalidInput,
    InvalidPeriod,
    IssuerUnavailable,
    KeysChanged,
    NotificationError,
    PortalSessionNotFound,
    ReplayNotFound,
    ReplayRunning,
    RotationTooSoon,
    SigningSecretNotFound,
    StorageUnavailable,
    TooLarge,
    TooManyDeliveries,
    TooManyWebhooks,
    TooManyWebhookTests,
    UnknownCommit,
    WebhookChanged,
    WebhookDeleted,
    WebhookDisabled,
    WebhookNotFound,
    WebhookOutdated,
)

REQUEST_ID = "X-Request-Id"

PROBLEM_DETAILS = "application/problem+json"
"""The media type of errors as RFC 9457 shapes them."""

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@frozen
class ProblemKind:
    """One entry of the catalogue: its numbers, and what it means and what the caller can do."""

    error_code: int
    http_code: int
    message: str


class Problem(Enum):
    """The errors of the API."""

    MALFORMED_REQUEST = ProblemKind(
        1000, 400, "This is not a valid HTTP/1.1 request. Correct the client."
    )
    REFUSED_REQUEST = ProblemKind(
        1001, 400, "The HTTP server refused the request. Correct the client."
    )
    NO_SUCH_PATH = ProblemKind(1002, 404, "Not found. The paths are listed in /api/openapi.json.")
    METHOD_NOT_ALLOWED = ProblemKind(
        1003, 405, "The method is not allowed for this path. Use one of the Allow header."
    )
    BODY_TOO_SLOW = ProblemKind(1004, 408, "The body did not arrive in time. Send it in one go.")
    BODY_TOO_LARGE = ProblemKind(1005, 413, "The body is too large. Send less at once.")
    WRONG_MEDIA_TYPE = ProblemKind(
        1006, 415, "Send the body as Content-Type: application/json in UTF-8."
    )
    NOT_JSON = ProblemKind(1007, 400, "The body is not JSON in UTF-8.")
    BROKEN_BODY = ProblemKind(
        1008, 400, "The body is incomplete or cannot be decompressed. Send it again."
    )
    EXPECTATION_FAILED = ProblemKind(
        1009, 417, "The Expect header is not supported; only 100-continue is."
    )
    STILL_RESPONDING = ProblemKind(
        1010,
        409,
        "The first request with this Idempotency-Key is still in progress, or was interrupted. "
        "Retry, and use a new key if this persists.",
    )
    KEY_REUSED = ProblemKind(
        1011, 422, "This Idempotency-Key was used for another request. Use a new one."
    )
    NOT_ACCEPTABLE = ProblemKind(
        1012, 406, "Not acceptable: the response is available as application/json only."
    )
    WRONG_CODING = ProblemKind(
        1013, 415, "Unsupported Content-Encoding. Use gzip, deflate or none."
    )

    INVALID_BODY = ProblemKind(1100, 400, "Fields of the body are invalid: see the details.")
    INVALID_PARAMETERS = ProblemKind(1101, 400, "Parameters are invalid: see the details.")

    WEBHOOK_NOT_FOUND = ProblemKind(1200, 404, "There is no such webhook.")
    TOO_MANY_WEBHOOKS = ProblemKind(
        1201, 409, "The environment has reached its limit of webhooks. Delete one first."
    )
    WEBHOOK_CHANGED = ProblemKind(
        1202, 409, "The webhook was changed concurrently. Read it and retry."
    )
    WEBHOOK_OUTDATED = ProblemKind(
        1203, 412, "The webhook has changed: its ETag does not match If-Match. Read it again."
    )

    WEBHOOK_DISABLED = ProblemKind(1204, 409, "The webhook is disabled. Enable it first.")
    WEBHOOK_DELETED = ProblemKind(1205, 409, "The webhook was deleted: nothing can be sent to it.")

    TOO_MANY_WEBHOOK_TESTS = ProblemKind(
        1206, 429, "Too many webhook tests are running. Retry after Retry-After seconds."
    )

    SIGNING_SECRET_NOT_FOUND = ProblemKind(
        1207, 404, "The webhook has no such signing secret, or it has expired."
    )

    INVALID_EVENT = ProblemKind(1300, 400, "The event is invalid: see the details.")
    EVENT_TOO_LARGE = ProblemKind(
        1301, 413, "An event, or the batch, is too large: see the details."
    )
    TOO_MANY_DELIVERIES = ProblemKind(
        1302, 413, "The batch results in too many deliveries. Publish smaller batches."
    )

    EVENT_NOT_FOUND = ProblemKind(1303, 404, "There is no such event in this environment.")
    EVENT_GONE = ProblemKind(
        1304, 409, "The body of the event is no longer stored, so it cannot be redelivered."
    )
    DEAD_LETTER_NOT_FOUND = ProblemKind(
        1305, 404, "There is no such dead letter. It may have been replayed, or deleted by age."
    )
    STILL_NOT_AN_EVENT = ProblemKind(
        1306, 409, "The message is still not a valid event: see the details."
    )

    DELIVERY_NOT_FOUND = ProblemKind(1400, 404, "There is no such delivery.")
    REPLAY_NOT_FOUND = ProblemKind(1401, 404, "The webhook has no such replay.")
    REPLAY_RUNNING = ProblemKind(
        1402, 409, "A replay of this webhook is in progress. Wait until it ends, or cancel it."
    )

    ENVIRONMENT_NOT_FOUND = ProblemKind(1500, 404, "There is no such environment.")
    ROTATION_TOO_SOON = ProblemKind(
        1501, 409, "The key cannot be rotated yet, except by an emergency rotation."
    )
    KEYS_CHANGED = ProblemKind(
        1502, 409, "The environment's keys were changed concurrently. Read the settings and retry."
    )
    ENVIRONMENT_BEING_ERASED = ProblemKind(
        1503, 409, "The environment is being erased: nothing can be created in it meanwhile."
    )
    ERASURE_NOT_FOUND = ProblemKind(1504, 404, "There is no erasure of this environment.")
    PORTAL_SESSION_NOT_FOUND = ProblemKind(1505, 404, "There is no such portal session.")

    CREDENTIAL_MISSING = ProblemKind(
        1600, 401, "Authentication required: send an API key or a token as Authorization: Bearer."
    )
    CREDENTIAL_REFUSED = ProblemKind(
        1601, 401, "Invalid credentials: the API key or token is wrong, expired or revoked."
    )
    NOT_ALLOWED = ProblemKind(
        1602, 403, "Insufficient scope: the credentials do not allow this operation."
    )
    TOO_MANY_FAILURES = ProblemKind(
        1603, 429, "Too many failed authentications. Retry after Retry-After seconds."
    )
    API_KEY_NOT_FOUND = ProblemKind(1604, 404, "There is no such API key.")

    TOO_MANY_REQUESTS = ProblemKind(
        1605, 429, "Too many requests. Retry after Retry-After seconds."
    )
    NOT_LOCAL = ProblemKind(
        1606,
        421,
        "Authentication is disabled, so the API is served on this host only: use 127.0.0.1, or add "
        "the reverse proxy to API_TRUSTED_PROXIES.",
    )
    FOREIGN_PAGE = ProblemKind(
        1607, 403, "Cross-origin request refused. Add the origin to API_CORS_ORIGINS to allow it."
    )

    UNEXPECTED = ProblemKind(1900, 500, "Internal error. Report it with the request_id.")
    STORAGE_UNAVAILABLE = ProblemKind(
        1901,
        503,
        "The storage is unavailable; nothing was written. Retry after Retry-After seconds.",
    )
    OUTCOME_UNKNOWN = ProblemKind(
        1902,
        503,
        "The storage became unavailable during the commit, so the outcome is unknown. Retry after "
        "Retry-After seconds; an event with an event_id is stored once.",
    )
    TOO_SLOW = ProblemKind(
        1903,
        503,
        "The operation timed out and may still complete. Retry after Retry-After seconds; an event "
        "with an event_id is stored once.",
    )
    DIRECTORY_UNAVAILABLE = ProblemKind(
        1904,
        503,
        "The environment cannot be looked up at the moment; nothing was written. Retry after "
        "Retry-After seconds.",
    )
    ISSUER_UNAVAILABLE = ProblemKind(
        1905,
        503,
        "The token cannot be verified at the moment; nothing was done. Retry after Retry-After "
        "seconds.",
    )
    TOO_MUCH_BUFFERED = ProblemKind(
        1906,
        503,
        "The bodies of unfinished requests use too much memory; nothing was done. Retry after "
        "Retry-After seconds.",
    )
    TOO_MANY_CONNECTIONS = ProblemKind(
        1907,
        503,
        "The limit of connections is reached; nothing was done. Retry after Retry-After seconds.",
    )


class RequestRefused(NotificationError):
    """A request that is refused with a problem of the catalogue, and these ``headers``."""

    def __init__(
        self,
        problem: Problem,
        message: str | None = None,
        details: Sequence[Detail] = (),
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        super().__init__(message or problem.value.message)
        self.problem = problem
        self.details = tuple(details)
        self.headers = headers


# The most special first.
_BY_ERROR: tuple[tuple[type[NotificationError], Problem], ...] = (
    (TooManyDeliveries, Problem.TOO_MANY_DELIVERIES),
    (TooLarge, Problem.EVENT_TOO_LARGE),
    (InvalidEvent, Problem.INVALID_EVENT),
    (InvalidPeriod, Problem.INVALID_PARAMETERS),
    (InvalidInput, Problem.INVALID_BODY),
    (WebhookNotFound, Problem.WEBHOOK_NOT_FOUND),
    (EventNotFound, Problem.EVENT_NOT_FOUND),
    (DeadLetterNotFound, Problem.DEAD_LETTER_NOT_FOUND),
    (DeliveryNotFound, Problem.DELIVERY_NOT_FOUND),
    (EnvironmentNotFound, Problem.ENVIRONMENT_NOT_FOUND),
    (DirectoryUnavailable, Problem.DIRECTORY_UNAVAILABLE),
    (TooManyWebhooks, Problem.TOO_MANY_WEBHOOKS),
    (WebhookChanged, Problem.WEBHOOK_CHANGED),
    (WebhookOutdated, Problem.WEBHOOK_OUTDATED),
    (RotationTooSoon, Problem.ROTATION_TOO_SOON),
    (KeysChanged, Problem.KEYS_CHANGED),
    (WebhookDisabled, Problem.WEBHOOK_DISABLED),
    (WebhookDeleted, Problem.WEBHOOK_DELETED),
    (EventGone, Problem.EVENT_GONE),
    (TooManyWebhookTests, Problem.TOO_MANY_WEBHOOK_TESTS),
    (ReplayNotFound, Problem.REPLAY_NOT_FOUND),
    (ReplayRunning, Problem.REPLAY_RUNNING),
    (SigningSecretNotFound, Problem.SIGNING_SECRET_NOT_FOUND),
    (ApiKeyNotFound, Problem.API_KEY_NOT_FOUND),
    (PortalSessionNotFound, Problem.PORTAL_SESSION_NOT_FOUND),
    (IssuerUnavailable, Problem.ISSUER_UNAVAILABLE),
    (EnvironmentBeingErased, Problem.ENVIRONMENT_BEING_ERASED),
    (ErasureNotFound, Problem.ERASURE_NOT_FOUND),
    (UnknownCommit, Problem.OUTCOME_UNKNOWN),
    (StorageUnavailable, Problem.STORAGE_UNAVAILABLE),
)
_BY_STATUS = {
    404: Problem.NO_SUCH_PATH,
    405: Problem.METHOD_NOT_ALLOWED,
    413: Problem.BODY_TOO_LARGE,
    415: Problem.WRONG_MEDIA_TYPE,
    417: Problem.EXPECTATION_FAILED,
}


def problem_of(error: Exception) -> Problem:
    """Return the entry of the catalogue for an error."""
    if isinstance(error, RequestRefused):
        return error.problem
    if isinstance(error, web.HTTPException):
        is_ours = error.status >= web.HTTPInternalServerError.status_code
        fallback = Problem.UNEXPECTED if is_ours else Problem.REFUSED_REQUEST
        return _BY_STATUS.get(error.status, fallback)
    return next((p for kind, p in _BY_ERROR if isinstance(error, kind)), Problem.UNEXPECTED)
