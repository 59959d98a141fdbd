"""One call of one operation: judged by the document, then handed to what answers it."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from aiohttp import web
from attrs import field, frozen

from notification_core.errors import Detail
from notification_entrypoints.api.bodies import parse_object, read_body
from notification_entrypoints.api.document import Operation, Schema
from notification_entrypoints.api.negotiation import is_accepted
from notification_entrypoints.api.parameters import Parameters, read_parameters
from notification_entrypoints.api.problems import Problem, RequestRefused

MAX_EVENTS_BYTES = 16 * 1024 * 1024
"""The most that is read of a body with events."""

MAX_BODY_BYTES = 1024 * 1024
"""The most that is read of any other body."""


Judge = Callable[[Mapping[str, object]], Sequence[Detail]]


@frozen
class Call:
    """A request that may be answered: its ``body`` as it came, and its ``fields`` once judged."""

    request: web.Request
    parameters: Parameters
    body: bytes = field(default=b"", repr=False)
    fields: Mapping[str, object] = field(factory=dict, repr=False)


@frozen
class Handler:
    """What answers an operation.

    ``judge`` says what is wrong with fields that the document has let pass. A handler that is
    ``raw`` judges the body itself, one that ``merges`` what comes of its fields. One that
    ``waits`` for somebody else may take so much longer.
    """

    answer: Callable[[Call], Awaitable[web.Response]]
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

    async def handle(self, request: web.Request) -> web.Response:
        """Judge a request and answer it; raise :class:`RequestRefused` where it is refused."""
        operation = self.operation
        if operation.answers and not is_accepted(request, operation.answers):
            raise RequestRefused(Problem.NOT_ACCEPTABLE)
        parameters = read_parameters(request, operation.parameters)
        if operation.body is None or not (operation.body_required or request.body_exists):
            call = Call(request, parameters)
        elif self.handler.raw:
            call = Call(request, parameters, body=await self._read(request, MAX_EVENTS_BYTES))
        else:
            body = await self._read(request, MAX_BODY_BYTES)
            fields = parse_object(body)
            if not self.handler.merges:
                check_fields(fields, operation.body, self.handler.judge)
            call = Call(request, parameters, body=body, fields=fields)
        return await self._answer(call)

    async def _read(self, request: web.Request, most: int) -> bytes:
        return await read_body(request, self.operation.media_types, most, self.timeouts.read)

    async def _answer(self, call: Call) -> web.Response:
        most = self.timeouts.write + self.handler.waits
        try:
            async with asyncio.timeout(most.total_seconds()):
                return await self.handler.answer(call)
        except TimeoutError as error:
            raise RequestRefused(Problem.TOO_SLOW) from error


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
