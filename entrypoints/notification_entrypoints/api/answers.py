"""Answers in JSON, and the links between the pages of a list."""

import base64
from uuid import UUID

from aiohttp import hdrs, web

from notification_core.errors import Detail
from notification_entrypoints.api.problems import Problem, RequestRefused

OK, CREATED, ACCEPTED, NO_CONTENT, NOT_MODIFIED = 200, 201, 202, 204, 304

_UUID_BYTES = 16


def json_answer(body: bytes, status: int = OK) -> web.Response:
    """Return an answer with a body that is JSON already."""
    return web.Response(body=body, status=status, content_type="application/json")


def link_next(response: web.Response, request: web.Request, last: UUID) -> None:
    """Say where the page after this one is, which begins after the row ``last``."""
    where = request.rel_url.update_query(cursor=_cursor_after(last))
    response.headers[hdrs.LINK] = f'<{where}>; rel="next"'


def row_of(cursor: str | None) -> UUID | None:
    """Return the row that a page begins after; raise :class:`RequestRefused` for a made-up one."""
    if cursor is None:
        return None
    try:
        data = base64.urlsafe_b64decode(f"{cursor}==".encode())
    except ValueError:
        data = b""
    if len(data) != _UUID_BYTES:
        message = "This is not a cursor of ours. Follow the Link header of the page before."
        raise RequestRefused(Problem.INVALID_PARAMETERS, details=[Detail("cursor", message)])
    return UUID(bytes=data)


def _cursor_after(row: UUID) -> str:
    return base64.urlsafe_b64encode(row.bytes).rstrip(b"=").decode()
