"""The API, called in process: what a page shows and changes passes the API's own checks."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from aiohttp import hdrs, web
from attrs import frozen
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from notification_core.errors import InvalidInput, NotificationError
from notification_core.model.caller import Caller
from notification_entrypoints.api.endpoint import Endpoint
from notification_entrypoints.api.error_responses import message_of
from notification_entrypoints.api.http.requests import RequestHead
from notification_entrypoints.api.idempotency import HEADER as IDEMPOTENCY_KEY
from notification_entrypoints.api.problems import RequestRefused, problem_of

_SERVER_ERROR = 500


@frozen
class ApiResult:
    """What an operation returned: its JSON, the cursor of the page after this one, and its ETag."""

    json: Any
    next_cursor: str | None = None
    etag: str | None = None


@frozen
class InProcessApi:
    """The operations of the API, for the caller of one page."""

    endpoints: Mapping[str, Endpoint]
    request: web.Request
    caller: Caller

    async def call(
        self,
        operation_id: str,
        body: object = None,
        *,
        query: Mapping[str, str | int | None] | None = None,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        **path: UUID | str,
    ) -> ApiResult:
        """Call an operation; ``path`` are the ids that its path names.

        Parameters of the ``query`` that are None or empty are left out. Raises
        :class:`RequestRefused` for what the API would refuse, with what is wrong with which field,
        and passes on the errors that it would return as a 500 or a 503.
        """
        headers: CIMultiDict[str] = CIMultiDict()
        if if_match:
            headers[hdrs.IF_MATCH] = if_match
        if idempotency_key:
            headers[IDEMPOTENCY_KEY] = idempotency_key
        return _result(await self._respond(operation_id, body, query or {}, headers, path))

    async def text(self, operation_id: str, **path: UUID | str) -> str:
        """Return the body of a response as text; raise what :meth:`call` does."""
        response = await self._respond(operation_id, None, {}, CIMultiDict(), path)
        return response.body.decode() if isinstance(response.body, bytes) else ""

    async def _respond(
        self,
        operation_id: str,
        body: object,
        query: Mapping[str, str | int | None],
        headers: CIMultiDict[str],
        path: Mapping[str, UUID | str],
    ) -> web.Response:
        endpoint = self.endpoints[operation_id]
        names = {name: str(value) for name, value in path.items()}
        where = endpoint.router[operation_id].url_for(**names)
        given = {name: str(value) for name, value in query.items() if value not in {None, ""}}
        head = RequestHead(
            endpoint.operation.method, where.with_query(given), CIMultiDictProxy(headers), names
        )
        written = None if body is None else msgspec.json.encode(body)
        try:
            return await endpoint.call(self.request, self.caller, head, written)
        except NotificationError as error:
            problem = problem_of(error)
            if isinstance(error, RequestRefused) or problem.value.http_code >= _SERVER_ERROR:
                raise
            details = error.details if isinstance(error, InvalidInput) else ()
            raise RequestRefused(problem, message_of(error, problem), details) from error


def _result(response: web.Response) -> ApiResult:
    content = response.body if isinstance(response.body, bytes) else b""
    link = response.headers.get(hdrs.LINK, "")
    following = URL(link.partition(">")[0].lstrip("<")).query.get("cursor") if link else None
    return ApiResult(
        msgspec.json.decode(content) if content else None,
        following,
        response.headers.get(hdrs.ETAG),
    )
