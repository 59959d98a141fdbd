"""One call of one operation: judged by the document, then handed to what answers it."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from aiohttp import web
from attrs import field, frozen

from notification_core.errors import Detail
from notification_core.model.caller import Caller
from notification_entrypoints.api.http.bodies import BodyMemory, BodyShare, parse_object, read_body
from notification_entrypoints.api.http.content_negotiation import is_accepted
from notification_entrypoints.api.http.parameters import Parameters, read_parameters
from notification_entrypoints.api.openapi.document import Operation, Schema
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.api.security.authorization import Access

MAX_EVENTS_BYTES = 16 * 1024 * 1024
"""The most that is read of a body with events."""

MAX_BODY_BYTES = 128 * 1024
"""The most that is read of any other body."""


Judge = Callable[[Mapping[str, object]], Sequence[Detail]]


@frozen
class ApiCall:
    """A request that may be answered: its ``body`` as it came, and its ``fields`` once judged.

    ``environment`` is the one that its path leads into, which is the caller's.
    """

    request: web.Request
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
            raise LookupError(self.request.path)
        return self.environment


@frozen
class Handler:
    """What answers an operation.

    ``judge`` says what is wrong with fields that the document has let pass. A handler that is
    ``raw`` judges the body itself, one that ``merges`` what comes of its fields. One that
    ``waits`` for somebody else may take so much longer.
    """

    answer: Callable[[ApiCall], Awaitable[web.Response]]
    judge: Judge | None = None
    raw: bool = False
    merges: bool = False
    waits: timedelta = timedelta()


@frozen
class Timeouts:
    """How long a body may take to arrive, and how long an answer to it may take."""

    read: timedelta
    write: timedelta


@frozen
class Endpoint:
    """An operation with its handler: what a route leads to."""

    operation: Operation
    handler: Handler
    timeouts: Timeouts
    access: Access
    memory: BodyMemory

    async def handle(self, request: web.Request) -> web.Response:
        """Judge a request and answer it; raise :class:`RequestRefused` where it is refused."""
        share = self.memory.share()
        try:
            async with asyncio.timeout(self._longest.total_seconds()) as limit:
                return await self.handler.answer(await self._call(request, limit, share))
        except TimeoutError as error:
            raise RequestRefused(Problem.TOO_SLOW) from error
        finally:
            share.release()

    @property
    def _longest(self) -> timedelta:
        return self.timeouts.write + self.handler.waits

    async def _call(
        self, request: web.Request, limit: asyncio.Timeout, share: BodyShare
    ) -> ApiCall:
        """Judge who calls, and where, and then what: no body is read of somebody who may not."""
        operation = self.operation
        caller = await self.access.admit(request, operation.rule)
        if operation.answers and not is_accepted(request, operation.answers):
            raise RequestRefused(Problem.NOT_ACCEPTABLE)
        parameters = read_parameters(request, operation.parameters)
        environment_id = await self.access.environment(caller, operation.rule, parameters)
        body, fields = await self._content(request, limit, share)
        name = operation.operation_id
        return ApiCall(request, caller, name, environment_id, parameters, body, fields)

    async def _content(
        self, request: web.Request, limit: asyncio.Timeout, share: BodyShare
    ) -> tuple[bytes, Mapping[str, object]]:
        """Return the body, as it came and as its fields, as far as the handler wants it judged."""
        schema = self.operation.body
        if schema is None or not (self.operation.body_required or request.body_exists):
            return b"", {}
        if self.handler.raw:
            return await self._read(request, MAX_EVENTS_BYTES, limit, share), {}
        body = await self._read(request, MAX_BODY_BYTES, limit, share)
        fields = parse_object(body)
        if not self.handler.merges:
            check_fields(fields, schema, self.handler.judge)
        return body, fields

    async def _read(
        self, request: web.Request, most: int, limit: asyncio.Timeout, share: BodyShare
    ) -> bytes:
        """Read a body; where it has to be waited for, that is no part of the answer's time."""
        media_types, timeouts = self.operation.media_types, self.timeouts
        if request.content.is_eof():
            return await read_body(request, media_types, most, timeouts.read, share)
        limit.reschedule(None)
        body = await read_body(request, media_types, most, timeouts.read, share)
        now = asyncio.get_running_loop().time()
        limit.reschedule(now + self._longest.total_seconds())
        return body


def check_fields(fields: Mapping[str, object], schema: Schema, judge: Judge | None) -> None:
    """Raise all that is wrong with fields by the document and by the rules behind it."""
    details = [*schema.judge(fields)]
    if judge is not None:
        wrong = {_top(detail) for detail in details}
        right = {name: value for name, value in fields.items() if name not in wrong}
        details += [each for each in judge(right) if _top(each) not in wrong]
    if details:
        raise RequestRefused(Problem.INVALID_BODY, details=details)


def _top(detail: Detail) -> str:
    """Return the field of the body that a detail lies in."""
    return re.split(r"[.\[]", detail.field, maxsplit=1)[0]
