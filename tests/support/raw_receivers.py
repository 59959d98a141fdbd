"""Receivers below HTTP: they say any bytes at any time, and count connections and requests."""

import asyncio
import socket
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ssl import SSLContext
from types import TracebackType
from typing import Self

from tests.support.receivers import LOOPBACK, reset

Connection = asyncio.StreamWriter

Act = Callable[[Connection], Awaitable[None]]
"""What to do with a connection once a request has come."""

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class StreamServer:
    """Serves each connection in a task of its own, from a port of its own.

    A subclass serves one by ``_serve``.
    """

    def __init__(self, host: str = LOOPBACK, ssl_context: SSLContext | None = None) -> None:
        self.port = 0
        self._host = host
        self._ssl_context = ssl_context
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, self._host, 0, ssl=self._ssl_context, backlog=1000
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: Connection) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: Connection) -> None:
        """Serve a connection to its end."""


class RawReceiver(StreamServer):
    """Does the next act of its script for each request; the last one is done for ever.

    ``greeting`` is said as soon as a connection is there. Where ``deaf``, nothing is ever read;
    where ``eager``, only the first few bytes are, and the greeting comes after them.
    """

    def __init__(
        self,
        *script: Act,
        host: str = LOOPBACK,
        greeting: bytes = b"",
        deaf: bool = False,
        eager: bool = False,
        ssl_context: SSLContext | None = None,
    ) -> None:
        super().__init__(host, ssl_context)
        self.requests: list[bytes] = []
        self.connections = 0
        self._ended = asyncio.Event()
        self._script: Sequence[Act] = script
        self._greeting = greeting
        self._deaf = deaf or eager
        self._eager = eager
        self._received = asyncio.Event()
        self._voices: list[_Voice] = []

    @property
    def url(self) -> str:
        """Where to send to."""
        return self.url_of(self._host)

    def url_of(self, host: str) -> str:
        """Where to send to by another name."""
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://{host}:{self.port}/hook"

    async def wait_for_request(self) -> None:
        """Return once a request has come."""
        await asyncio.wait_for(self._received.wait(), 10)

    async def wait_for_end(self) -> None:
        """Return once a connection has ended that was not waited for before, whoever ended it."""
        await asyncio.wait_for(self._ended.wait(), 10)
        self._ended.clear()

    @property
    def taken(self) -> int:
        """How many bytes the other side, or the network on the way there, has taken."""
        return sum(voice.said - voice.transport.get_write_buffer_size() for voice in self._voices)

    def _accept(self, reader: asyncio.StreamReader, writer: Connection) -> None:
        self.connections += 1
        loop = asyncio.get_running_loop()
        voice = _Voice(writer.transport, writer.transport.get_protocol(), reader, loop)
        voice.original = writer
        self._voices.append(voice)
        super()._accept(reader, voice)

    async def _serve(self, reader: asyncio.StreamReader, writer: Connection) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                if self._eager:
                    await reader.read(16)
                writer.write(self._greeting)
                await self._read_requests(reader, writer)
        finally:
            self._ended.set()
            writer.close()

    async def _read_requests(self, reader: asyncio.StreamReader, writer: Connection) -> None:
        while not self._deaf:
            self.requests.append(await _read_request(reader))
            self._received.set()
            await self._script[min(len(self.requests), len(self._script)) - 1](writer)
        await asyncio.get_running_loop().create_future()


class _Voice(asyncio.StreamWriter):
    """Counts what is said."""

    said = 0
    original: asyncio.StreamWriter
    """Kept, since from Python 3.13 on one that is collected closes its transport."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said += len(data)
        super().write(data)


@contextmanager
def full_backlog(host: str, port: int) -> Iterator[None]:
    """Listen where the next connect is neither accepted nor refused."""
    with socket.create_server((host, port), backlog=0), ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex((host, port))
        yield


def says(*pieces: bytes, apart: float = 0) -> Act:
    """Say these bytes, piece by piece, and leave the connection open."""

    async def act(connection: Connection) -> None:
        for piece in pieces:
            connection.write(piece)
            await connection.drain()
            await asyncio.sleep(apart)

    return act


def says_for_ever(piece: bytes, begin: bytes = b"", apart: float = 0) -> Act:
    """Say ``begin`` once, and then the piece again and again."""

    async def act(connection: Connection) -> None:
        connection.write(begin)
        while not connection.is_closing():
            connection.write(piece)
            await connection.drain()
            await asyncio.sleep(apart)

    return act


def closes(said: bytes = b"") -> Act:
    """Say these bytes and close the connection in an orderly way."""

    async def act(connection: Connection) -> None:
        connection.write(said)
        await connection.drain()
        connection.close()
        await connection.wait_closed()

    return act


def resets(said: bytes = b"") -> Act:
    """Say these bytes, and drop the connection when they are likely to have been read."""

    async def act(connection: Connection) -> None:
        if said:
            connection.write(said)
            await connection.drain()
            await asyncio.sleep(0.05)
        reset(connection.transport)

    return act


async def hangs(connection: Connection) -> None:
    """Say nothing more."""
    await connection.drain()
    await asyncio.get_running_loop().create_future()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    length = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
    return head + await reader.readexactly(length)
