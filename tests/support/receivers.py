"""Real receivers of webhooks on loopback, which answer by a script and remember what came."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from inspect import isawaitable
from ssl import SSLContext
from types import TracebackType
from typing import Literal, Self, cast

from aiohttp import web
from attrs import field, frozen
from multidict import CIMultiDictProxy

from tests.support.waiting import PATIENCE

LOOPBACK = "127.0.0.1"


@frozen
class ReceivedRequest:
    """A request as it came; ``headers`` is a multi-dict that ignores case."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes = field(repr=False)
    received_at: datetime


PlainResponse = int | Literal["hang", "reset"] | web.Response
"""A status; nothing until :meth:`Receiver.release`; a reset connection; a response of its own."""

Response = PlainResponse | Callable[[ReceivedRequest], PlainResponse | Awaitable[PlainResponse]]
"""A plain answer, or a function of the request that gives one (a :class:`web.Response` must be
made afresh for each request, so a repeated one has to come from a function)."""


class Receiver:
    """An HTTP server that takes its responses from a script; the last one is given for ever.

    async with Receiver(500, "reset", 200) as receiver:
        ...                                 # send to receiver.url
        first, *_ = await receiver.wait_for(3)
    """

    def __init__(self, *script: Response, ssl_context: SSLContext | None = None) -> None:
        self.requests: list[ReceivedRequest] = []
        self.port = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self._ssl_context = ssl_context
        self._hanging: set[asyncio.Future[PlainResponse]] = set()
        self._released = False
        self._changed = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self.respond(*script)

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.down()

    @property
    def url(self) -> str:
        """Where to send to; any path below works as well."""
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://{LOOPBACK}:{self.port}/"

    def respond(self, *script: Response) -> None:
        """Take the responses from a new script from now on; an empty one is 200 for ever."""
        self._script: Sequence[Response] = script or (200,)
        self._next = 0

    def release(self) -> None:
        """Release those that hang, and those that would, with a 200."""
        self._released = True
        self._end_hanging(200)

    async def up(self) -> None:
        """Listen; after :meth:`down` on the same port as before."""
        server = web.Server(self._handle, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, LOOPBACK, self.port, ssl_context=self._ssl_context, reuse_address=True
        )
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stop listening and drop every connection; what is sent now is refused."""
        self._end_hanging("reset")
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for(self, count: int, within: float = PATIENCE) -> Sequence[ReceivedRequest]:
        """Return all requests once there are ``count``."""
        await self.wait_until(lambda requests: len(requests) >= count, within)
        return self.requests

    async def wait_until(
        self, condition: Callable[[Sequence[ReceivedRequest]], bool], within: float = PATIENCE
    ) -> None:
        """Return once the condition holds for what was received."""
        try:
            async with asyncio.timeout(within):
                while not condition(self.requests):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"Only {len(self.requests)} requests came within {within} s: {self.requests}"
            ) from None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        received = ReceivedRequest(
            method=request.method,
            path=request.raw_path,
            headers=request.headers,
            body=await request.content.read(),  # without the bound of aiohttp's own read
            received_at=datetime.now(UTC),
        )
        self.requests.append(received)
        self._changed.set()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._respond(request, await self._response_to(received))
        finally:
            self.in_flight -= 1

    async def _response_to(self, received: ReceivedRequest) -> PlainResponse:
        response = self._script[min(self._next, len(self._script) - 1)]
        self._next += 1
        if not callable(response) or isinstance(response, web.Response):
            return response
        given = response(received)
        return await given if isawaitable(given) else given

    async def _respond(
        self, request: web.BaseRequest, response: PlainResponse
    ) -> web.StreamResponse:
        if isinstance(response, web.Response):
            return response
        if response == "hang":
            return await self._respond(request, await self._hang())
        if response == "reset":
            reset(request.transport)
            return web.Response()
        return web.Response(status=response)

    async def _hang(self) -> PlainResponse:
        if self._released:
            return 200
        end: asyncio.Future[PlainResponse] = asyncio.get_running_loop().create_future()
        self._hanging.add(end)
        try:
            return await end
        finally:
            self._hanging.discard(end)

    def _end_hanging(self, response: PlainResponse) -> None:
        for end in self._hanging:
            if not end.done():
                end.set_result(response)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Drop a connection with a TCP reset, as a server that is killed does."""
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    with suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cast("asyncio.WriteTransport", transport).abort()
