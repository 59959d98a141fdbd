"""One call of one operation: validated by the document, then handed to what answers it.

A call comes as an HTTP request (:meth:`Endpoint.handle`), or from the console, which has read what
it wants of a request of its own (:meth:`Endpoint.call`). Both pass the same checks.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from uuid import UUID

from aiohttp import hdrs, web
from attrs import field, frozen

from notification_core.errors import Detail
from notification_core.model.caller import Caller
from notification_entrypoints.api.http.content_negotiation import check_accepted
from notification_entrypoints.api.http.requests import (
    BodyMemory,
    BodyShare,
    Parameters,
    RequestHead,
    parse_object,
    read_body,
    read_parameters,
)
from notification_entrypoints.api.openapi.document import Operation, Schema
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.api.security.authorization import Access

MAX_EVENTS_BYTES = 16 * 1024 * 1024
"""The most that is read of a body with events."""

MAX_BODY_BYTES = 128 * 1024
"""The most that is read of any other body."""

_NO_FIELDS: Mapping[str, object] = MappingProxyType({})
OK, CREATED, ACCEPTED, NO_CONTENT, NOT_MODIFIED = 200, 201, 202, 204, 304

Validator = Callable[[Mapping[str, object]], Sequence[Detail]]
_EnvironmentValidator = Callable[[UUID | None, Mapping[str, object]], Sequence[Detail]]


@frozen
class ApiCall:
    """A call that may be answered: its ``body`` as it came, and its ``fields`` once validated.

    ``environment`` is the one that its path leads into, which is the caller's. ``request`` is what
    it came by, for its address, its id and its trace; what is asked for is in the ``head`` alone.
    """

    request: web.Request
    head: RequestHead
    router: web.UrlDispatcher = field(repr=False)
    caller: Caller
    operation_id: str
    environment: UUID | None
    parameters: Parameters
    body: bytes = field(default=b"", repr=False)
    fields: Mapping[str, object] = field(factory=dict, repr=False)

    @property
    def environment_id(self) -> UUID:
        """The environment that the call is about; LookupError for an operation without one."""
        if self.environment is None:
            raise LookupError(self.operation_id)
        return self.environment

    def path_of(self, operation_id: str, **ids: UUID) -> str:
        """Return the path of another operation, on the things with these ids."""
        named = {name: str(value) for name, value in ids.items()}
        return str(self.router[operation_id].url_for(**named))


@frozen
class Handler:
    """What answers an operation.

    ``validate`` says what is wrong with fields that the document has let pass. A handler that
    ``parses_body`` validates the body itself, one whose body ``is_merge_patch`` what comes of its
    fields. ``takes`` says of a request with another media type than those of the document whether
    that is taken, too. One that waits for somebody else may take the ``extra_timeout`` longer.
    """

    respond: Callable[[ApiCall], Awaitable[web.Response]]
    validate: _EnvironmentValidator | None = None
    parses_body: bool = False
    takes: Callable[[web.Request], bool] | None = None
    is_merge_patch: bool = False
    extra_timeout: timedelta = timedelta()


@frozen
class Timeouts:
    """How long a body may take to arrive, and how long a response to it may take."""

    read: timedelta
    write: timedelta


@frozen
class Endpoint:
    """An operation with its handler: what a route of the ``router`` leads to."""

    operation: Operation
    handler: Handler
    timeouts: Timeouts
    access: Access
    memory: BodyMemory
    router: web.UrlDispatcher = field(repr=False)
    _longest: float = field(init=False)

    @_longest.default
    def _seconds_of_a_response(self) -> float:
        return (self.timeouts.write + self.handler.extra_timeout).total_seconds()

    async def handle(self, request: web.Request) -> web.Response:
        """Validate a request and answer it; raise :class:`RequestRefused` where it is refused."""
        share = BodyShare(self.memory)
        try:
            async with asyncio.timeout(self._longest) as limit:
                return await self.handler.respond(await self._read(request, limit, share))
        except TimeoutError as error:
            raise RequestRefused(Problem.TOO_SLOW) from error
        finally:
            if share.used:
                share.release()

    async def call(
        self, request: web.Request, caller: Caller, head: RequestHead, body: bytes | None = None
    ) -> web.Response:
        """Answer a call that a ``request`` to somebody else leads to, as one by HTTP is answered.

        Its caller is known. Raises what :meth:`handle` does.
        """
        try:
            async with asyncio.timeout(self._longest):
                self.access.permit(request, caller, self.operation.rule)
                parameters, environment_id = await self._address(caller, head)
                fields = _NO_FIELDS if body is None else self._fields(body, environment_id)
                return await self.handler.respond(
                    ApiCall(
                        *(request, head, self.router, caller, self.operation.operation_id),
                        *(environment_id, parameters, body or b"", fields),
                    )
                )
        except TimeoutError as error:
            raise RequestRefused(Problem.TOO_SLOW) from error

    async def _read(
        self, request: web.Request, limit: asyncio.Timeout, share: BodyShare
    ) -> ApiCall:
        """Check the caller, and where, and then what: no body is read of somebody who may not."""
        operation, handler = self.operation, self.handler
        caller = await self.access.admit(request, operation.rule)
        accept = request.headers.get(hdrs.ACCEPT, "*/*")
        # Nearly every caller sends one of these, or nothing.
        if operation.responses and accept != "*/*" and accept not in operation.responses:
            check_accepted(request, operation.responses)
        head = RequestHead(request.method, request.rel_url, request.headers, request.match_info)
        parameters, environment_id = await self._address(caller, head)
        body, fields = b"", _NO_FIELDS
        if operation.body and (operation.body_required or request.body_exists):
            most = MAX_EVENTS_BYTES if handler.parses_body else MAX_BODY_BYTES
            has_arrived = request.content.is_eof()
            if not has_arrived:
                # The time that a body is waited for is no part of the response's time.
                limit.reschedule(None)
            within = self.timeouts.read
            body = await read_body(
                request, operation.media_types, most, within, share, handler.takes
            )
            if not has_arrived:
                limit.reschedule(asyncio.get_running_loop().time() + self._longest)
            fields = self._fields(body, environment_id)
        return ApiCall(
            *(request, head, self.router, caller, operation.operation_id),
            *(environment_id, parameters, body, fields),
        )

    async def _address(self, caller: Caller, head: RequestHead) -> tuple[Parameters, UUID | None]:
        """Return the parameters of a call, and the environment that it leads into."""
        parameters = read_parameters(head, self.operation.parameters)
        rule = self.operation.rule
        return parameters, await self.access.environment(caller, rule, parameters.values)

    def _fields(self, body: bytes, environment_id: UUID | None) -> Mapping[str, object]:
        """Return the fields of a body, checked unless the handler does that itself."""
        if self.handler.parses_body:
            return _NO_FIELDS
        fields = parse_object(body)
        if self.operation.body and not self.handler.is_merge_patch:
            validate = self.handler.validate
            bound = validate and partial(validate, environment_id)
            check_fields(fields, self.operation.body, bound)
        return fields


ENDPOINTS: web.AppKey[Mapping[str, Endpoint]] = web.AppKey("endpoints")
"""What answers each operation of an API, by its operationId."""


def check_fields(fields: Mapping[str, object], schema: Schema, validate: Validator | None) -> None:
    """Raise all that is wrong with fields by the document and by the rules behind it."""

    def field_of(detail: Detail) -> str:
        return re.split(r"[.\[]", detail.field, maxsplit=1)[0]

    details = [*schema.validate(fields)]
    if validate is not None:
        wrong = {field_of(detail) for detail in details}
        right = {name: value for name, value in fields.items() if name not in wrong}
        details += [detail for detail in validate(right) if field_of(detail) not in wrong]
    if details:
        raise RequestRefused(Problem.INVALID_BODY, details=details)


def json_response(body: bytes, status: int = OK) -> web.Response:
    """Return a response with a body that is JSON already."""
    return web.Response(body=body, status=status, content_type="application/json")
