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
from notification_entrypoints.api.parameters import Parameters, read_parameters
from notification_entrypoints.api.problems import Problem, RequestRefused

MAX_EVENTS_BYTES = 16 * 1024 * 1024
"""The most that is read of a body with events."""

MAX_BODY_BYTES = 1024 * 1024
"""The most that is read of any other body."""


@frozen
class Call:
    """A request that may be answered: its ``body`` as it came, or its ``fields`` once judged."""

    request: web.Request
    parameters: Parameters
    body: bytes = field(default=b"", repr=False)
    fields: Mapping[str, object] = field(factory=dict, repr=False)


@frozen
class Handler:
    """What answers an operation.

    ``judge`` says what is wrong with fields that the document has let pass. A handler that is
    ``raw`` judges the body itself.
    """

    answer: Callable[[Call], Awaitable[web.Response]]
    judge: Callable[[Mapping[str, object]], Sequence[Detail]] | None = None
    raw: bool = False


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
        parameters = read_parameters(request, self.operation.parameters)
        if self.operation.body is None:
            call = Call(request, parameters)
        elif self.handler.raw:
            body = await read_body(request, MAX_EVENTS_BYTES, self.timeouts.read)
            call = Call(request, parameters, body=body)
        else:
            body = await read_body(request, MAX_BODY_BYTES, self.timeouts.read)
            fields = self._judged(parse_object(body), self.operation.body)
            call = Call(request, parameters, fields=fields)
        return await self._answer(call)

    async def _answer(self, call: Call) -> web.Response:
        try:
            async with asyncio.timeout(self.timeouts.write.total_seconds()):
                return await self.handler.answer(call)
        except TimeoutError as error:
            raise RequestRefused(Problem.TOO_SLOW) from error

    def _judged(self, fields: Mapping[str, object], schema: Schema) -> Mapping[str, object]:
        """Return fields that are right by the document and the rules behind it, or raise all."""
        details = [*schema.judge(fields)]
        if self.handler.judge is not None:
            wrong = {_top(detail) for detail in details}
            right = {name: value for name, value in fields.items() if name not in wrong}
            details += [each for each in self.handler.judge(right) if _top(each) not in wrong]
        if details:
            raise RequestRefused(Problem.INVALID_BODY, details=details)
        return fields


def _top(detail: Detail) -> str:
    """Return the field of the body that a detail lies in."""
    return re.split(r"[.\[]", detail.field, maxsplit=1)[0]
