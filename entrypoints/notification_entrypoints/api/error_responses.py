"""The response that an error becomes: in the 1.0 shape, or as problem details of RFC 9457."""

import traceback
from collections.abc import Mapping

import msgspec
from aiohttp import hdrs, web

from notification_core.errors import InvalidInput, RotationTooSoon, TooManyWebhooks
from notification_entrypoints.api.problems import (
    PROBLEM_DETAILS,
    REQUEST_ID,
    Problem,
    RequestRefused,
    problem_of,
)

_MAX_DETAILS = 100
_RETRY_AFTER = "1"
_UNSTORED = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
_BODY_UNREAD = {
    Problem.BODY_TOO_SLOW,
    Problem.BODY_TOO_LARGE,
    Problem.BROKEN_BODY,
    Problem.TOO_MUCH_BUFFERED,
}


def error_response(
    error: Exception, request_id: str, *, debug: bool, as_problem_details: bool = False
) -> web.Response:
    """Return the response to a request that ended in an error.

    In the 1.0 shape, or ``as_problem_details`` of RFC 9457.
    """
    problem = problem_of(error)
    if as_problem_details:
        body, content_type = _problem_details(error, problem, request_id), PROBLEM_DETAILS
    else:
        body, content_type = _body(error, problem, request_id, debug=debug), "application/json"
    response = web.Response(
        body=body,
        status=problem.value.http_code,
        content_type=content_type,
        headers=_headers(error, problem, request_id),
    )
    if problem in _BODY_UNREAD:
        # What is left of the body would be taken for the next request.
        response.force_close()
    return response


def _headers(error: Exception, problem: Problem, request_id: str) -> Mapping[str, str]:
    headers = {REQUEST_ID: request_id, **_UNSTORED}
    unavailable = problem.value.http_code == web.HTTPServiceUnavailable.status_code
    if unavailable or problem in {Problem.STILL_RESPONDING, Problem.TOO_MANY_WEBHOOK_TESTS}:
        headers[hdrs.RETRY_AFTER] = _RETRY_AFTER
    if isinstance(error, RequestRefused):
        headers |= error.headers
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
    if problem is Problem.WRONG_CODING:
        headers[hdrs.ACCEPT_ENCODING] = "gzip, deflate"
    return headers


def _body(error: Exception, problem: Problem, request_id: str, *, debug: bool) -> bytes:
    fields: dict[str, object] = {
        "error_code": problem.value.error_code,
        "http_code": problem.value.http_code,
        "internal_message": f"{type(error).__name__}: {error}" if debug else "",
        "message": message_of(error, problem),
        "stacktrace": traceback.format_exception(error) if debug else [],
        "request_id": request_id,
    }
    return msgspec.json.encode(fields | _details(error))


def _problem_details(error: Exception, problem: Problem, request_id: str) -> bytes:
    kind = problem.value
    fields: dict[str, object] = {
        "type": f"urn:notification-management:error:{kind.error_code}",
        "title": kind.message,
        "status": kind.http_code,
        "detail": message_of(error, problem),
        "error_code": kind.error_code,
        "request_id": request_id,
    }
    return msgspec.json.encode(fields | _details(error))


def _details(error: Exception) -> dict[str, object]:
    """Return what is wrong with which field, if an error says it."""
    if not (isinstance(error, RequestRefused | InvalidInput) and error.details):
        return {}
    return {
        "details": [
            {"field": detail.field, "message": detail.message}
            for detail in error.details[:_MAX_DETAILS]
        ]
    }


def message_of(error: Exception, problem: Problem) -> str:
    """Return the error's own sentence where it was written for the caller."""
    written_for_the_caller = (
        RequestRefused,
        InvalidInput,
        LookupError,
        TooManyWebhooks,
        RotationTooSoon,
    )
    if problem is not Problem.UNEXPECTED and isinstance(error, written_for_the_caller):
        return str(error)
    return problem.value.message
