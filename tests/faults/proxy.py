"""A TCP proxy on loopback, which does to connections what networks and what is in them do.

It stands before a server and passes on what both sides say. What it is told to do it does to the
connections that there are and, unless it says otherwise, to those that come.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto

from attrs import define, field

from tests.support.receivers import LOOPBACK, reset

_CHUNK = 65_536
_PACES_A_SECOND = 20


class Loss(Enum):
    """What comes instead of a response."""

    RESET = auto()
    END = auto()
    SILENCE = auto()


@define(eq=False)
class _Side:
    """One end of a connection that is passed on."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_told: bool = False

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def finish(self) -> None:
        """Say that there is nothing more to come; the other direction stays open."""
        self.is_told = True
        with suppress(OSError):
            self.writer.write_eof()


@define(eq=False)
class _Link:
    """A connection through the proxy; ``dark`` passes nothing on, not even its end."""

    client: _Side
    server: _Side
    passing: "asyncio.Task[None] | None" = None
    dark: bool = False
    losing: bool = False

    def lose(self, how: Loss) -> None:
        """Keep a response back, and say this instead."""
        if how is Loss.RESET:
            self.cut()
        elif how is Loss.END:
            self.client.finish()
        else:
            self.dark = True

    def cut(self) -> None:
        """Drop it on both sides with a reset."""
        for side in (self.client, self.server):
            reset(side.writer.transport)
        if self.passing is not None:
            self.passing.cancel()


@define(eq=False)
class Proxy:
    """Passes connections on to a port of this host.

    Each piece of what the server answers is held for ``delay`` seconds, and comes at no more than
    ``rate`` bytes a second where that is given. ``came`` counts connections, ``lost`` the responses
    that were kept back.
    """

    target: int
    port: int = 0
    delay: float = 0.0
    rate: int | None = None
    came: int = 0
    lost: int = 0
    _loses: Callable[[bytes], bool] | None = None
    _loss: Loss = Loss.RESET
    _swallows: bool = False
    _listener: asyncio.Server | None = None
    _links: set[_Link] = field(factory=set)
    _tasks: "set[asyncio.Task[None]]" = field(factory=set)

    async def accept(self) -> None:
        """Listen; after :meth:`refuse` on the same port as before."""
        self._listener = await asyncio.start_server(
            self._connected, LOOPBACK, self.port, reuse_address=True
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Cut all connections, and have those that come refused."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Drop the connections that there are with a reset on both sides."""
        for link in self._links:
            link.cut()

    def half_close(self) -> None:
        """Tell the clients that there are that the server says nothing more; it hears them yet."""
        for link in self._links:
            link.client.finish()

    def swallow(self) -> None:
        """Pass nothing on any more, and let nobody know: only who looks at a clock will."""
        self._swallows = True
        for link in self._links:
            link.dark = True

    def pass_on(self) -> None:
        """Have new connections passed on again; those that have lost something stay dark."""
        self._swallows = False

    def lose_responses_to(self, loses: Callable[[bytes], bool], loss: Loss = Loss.RESET) -> None:
        """Pass on each request that is chosen, and keep its response back, and what follows."""
        self._loses, self._loss = loses, loss

    def lose_no_responses(self) -> None:
        """Let all answers through again."""
        self._loses = None

    async def close(self) -> None:
        """Drop all that there is."""
        self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(_Side(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: _Side) -> None:
        self.came += 1
        try:
            server = _Side(*await asyncio.open_connection(LOOPBACK, self.target))
        except OSError:
            reset(client.writer.transport)
            return
        link = _Link(client, server, asyncio.current_task(), dark=self._swallows)
        self._links.add(link)
        try:
            await asyncio.gather(self._ask(link), self._respond(link))
        except OSError:
            await _in_the_dark(link)
        finally:
            self._links.discard(link)
            for side in (client, server):
                reset(side.writer.transport)

    async def _ask(self, link: _Link) -> None:
        while data := await link.client.reader.read(_CHUNK):
            if not link.dark:
                link.losing = link.losing or (self._loses is not None and self._loses(data))
                await link.server.say(data)
        await _in_the_dark(link)
        link.server.finish()

    async def _respond(self, link: _Link) -> None:
        while data := await link.server.reader.read(_CHUNK):
            if link.losing:
                self.lost += 1
                link.lose(self._loss)
                link.losing = False
            await asyncio.sleep(self.delay)
            if not (link.dark or link.client.is_told):
                await self._paced(link.client, data)
        await _in_the_dark(link)
        link.client.finish()

    async def _paced(self, client: _Side, data: bytes) -> None:
        size = len(data) if self.rate is None else max(1, self.rate // _PACES_A_SECOND)
        for begin in range(0, len(data), size):
            await client.say(data[begin : begin + size])
            if self.rate is not None:
                await asyncio.sleep(1 / _PACES_A_SECOND)


async def _in_the_dark(link: _Link) -> None:
    """Let nobody hear of the end of a connection that is dark."""
    if link.dark:
        await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def proxy_before(port: int) -> AsyncIterator[Proxy]:
    """Put a proxy before a port for the length of the block."""
    proxy = Proxy(port)
    await proxy.accept()
    try:
        yield proxy
    finally:
        await proxy.close()
