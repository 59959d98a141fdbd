"""Errors as pages: what is wrong, what would be right, and the id to report."""

from http import HTTPStatus
from typing import Final, cast

import msgspec
from aiohttp import hdrs, web

from notification_core.errors import PortalCodeRefused, SessionEnded
from notification_entrypoints.api.audit_trail import REQUEST
from notification_entrypoints.api.error_responses import error_response
from notification_entrypoints.api.problems import Problem, problem_of
from notification_entrypoints.console.cookies import forget_tokens
from notification_entrypoints.console.rendering import html_response
from notification_entrypoints.console.theme import THEME

_MESSAGES: Final = {
    Problem.NO_SUCH_PATH: "There is no such page. The link may be old, or its subject deleted.",
    Problem.METHOD_NOT_ALLOWED: "This page cannot be sent anything. Go back and reload it.",
}

_ABOUT_JSON: Final = {hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH}


def error_page(request: web.Request, error: Exception) -> web.Response:
    """Return the page for a request that ended in an error: what the API would say of it."""
    told = error_response(error, request[REQUEST], debug=False)
    fields = msgspec.json.decode(cast("bytes", told.body))
    status, message = told.status, fields["message"]
    if isinstance(error, SessionEnded | PortalCodeRefused):
        status, message = HTTPStatus.FORBIDDEN, str(error)
    elif isinstance(error, web.HTTPException):
        message = _MESSAGES.get(problem_of(error), message)
    page = html_response(
        request.match_info.apps[-1][THEME],
        "error.html",
        {
            "title": HTTPStatus(status).phrase,
            "status": int(status),
            "message": message,
            "details": fields.get("details", ()),
            "request_id": request[REQUEST],
        },
        status=status,
        headers={name: text for name, text in told.headers.items() if name not in _ABOUT_JSON},
    )
    if isinstance(error, SessionEnded):
        forget_tokens(request, page)
    return page
