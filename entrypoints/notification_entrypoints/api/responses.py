"""Answers in JSON."""

from aiohttp import web

OK, CREATED, ACCEPTED, NO_CONTENT, NOT_MODIFIED = 200, 201, 202, 204, 304


def json_answer(body: bytes, status: int = OK) -> web.Response:
    """Return an answer with a body that is JSON already."""
    return web.Response(body=body, status=status, content_type="application/json")
