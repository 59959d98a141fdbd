"""Listening: HTTP servers that fail to start with a clear error, and end with the process."""

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from attrs import frozen

from notification_core.errors import NotificationError

_INTERRUPTED_EXIT = 130


class PortUnavailable(NotificationError):
    """A server cannot listen at its address; the message names the variable to change."""


@frozen
class Bind:
    """Where a server listens; ``variable`` is what sets the port, 0 takes a free one.

    A ``shared`` port is listened on by several processes, each of which gets a part of what comes.
    """

    host: str
    port: int
    variable: str
    shared: bool = False


class PatientProtocol(RequestHandler):
    """Serves HTTP on a connection, and waits for a request that has begun, but not for ever.

    aiohttp does not bound the time that the first line and the headers take. The first request is
    waited for as if it had begun with the connection.
    """

    __slots__ = ("_awaited", "_read_timeout")

    def __init__(self, server: web.Server, *, read_timeout: timedelta, **options: Any) -> None:
        super().__init__(server, **options)
        self._read_timeout = read_timeout
        self._awaited = 0  # so many requests there are with the one that is waited for

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take what came; where that only begins a request, wait for the rest of its headers."""
        before = self._request_count
        super().data_received(data)
        if self._request_count == before and self.is_idle:
            self._await_request()

    @property
    def is_idle(self) -> bool:
        """Tell whether no request is being answered: the connection waits for the next one."""
        return self._waiter is not None and not self._waiter.done()

    def _await_request(self) -> None:
        if self._awaited <= self._request_count:
            self._awaited = self._request_count + 1
            awaited = self._awaited

            def close_unless_come() -> None:
                if self._request_count < awaited:
                    self.force_close()

            self._loop.call_later(self._read_timeout.total_seconds(), close_unless_come)


class ProtocolRunner(web.AppRunner):
    """Runs an application with a protocol of ours for each connection.

    This alone replaces the protocol of aiohttp, by hooks of aiohttp 3.14. When the
    server ends, ``patience`` is asked how many seconds requests that are under way may take; the
    connections of those that have not ended by then are closed.
    """

    def __init__(
        self,
        app: web.Application,
        protocol: Callable[..., RequestHandler],
        patience: Callable[[], float],
        **options: Any,
    ) -> None:
        super().__init__(app, access_log=None, handle_signals=False, **options)
        self._protocol = protocol
        self._patience = patience

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self._protocol, self._patience, self._kwargs)


class _Server(web.Server):
    """Makes the protocol, in place of the one that the server is made from."""

    def __init__(
        self,
        plain: web.Server,
        protocol: Callable[..., RequestHandler],
        patience: Callable[[], float],
        options: dict[str, Any],
    ) -> None:
        super().__init__(plain.request_handler, request_factory=plain.request_factory, **options)
        self._protocol = protocol
        self._patience = patience

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - aiohttp's signature
        """Let requests end for as long as there is time now, and close what is left."""
        await super().shutdown(self._patience())

    def __call__(self) -> RequestHandler:
        return self._protocol(self, loop=self._loop, **self._kwargs)


@asynccontextmanager
async def listen_on(runner: web.AppRunner, bind: Bind) -> AsyncIterator[str]:
    """Serve an application for the length of the block; gives its base URL.

    At the end it accepts nothing more, and lets requests that are under way end within the
    runner's patience.
    """
    await runner.setup()
    try:
        site = web.TCPSite(runner, bind.host, bind.port, reuse_port=bind.shared or None)
        with _explain_bind_errors(bind):
            await site.start()
        yield base_url(bind.host, runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def listen_at(runner: web.AppRunner, path: Path) -> AsyncIterator[None]:
    """Serve an application at a socket of the file system for the length of the block."""
    await runner.setup()
    try:
        await web.UnixSite(runner, path).start()
        yield
    finally:
        await runner.cleanup()


@contextmanager
def reserve_port(bind: Bind) -> Iterator[int]:
    """Keep a port for processes that share it, without listening; gives its number.

    Raises :class:`PortUnavailable` where another program listens on it, also one that would share.
    """
    with ExitStack() as reserved:
        with _explain_bind_errors(bind):
            with ExitStack() as alone:
                port = _bind_all(bind, bind.port, alone, shared=False)
            _bind_all(bind, port, reserved, shared=True)
        yield port


def _bind_all(bind: Bind, port: int, sockets: ExitStack, *, shared: bool) -> int:
    """Bind a socket to each address of a host, as a server does; return the port of all."""
    places = socket.getaddrinfo(bind.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(places):
        bound = sockets.enter_context(socket.socket(family, kind, protocol))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address[0], port, *address[2:]))
        port = bound.getsockname()[1]
    return port


@contextmanager
def _explain_bind_errors(bind: Bind) -> Iterator[None]:
    """Translate an error of binding into one that names the address and what to change."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"{bind.host}:{bind.port} is in use by another process"
        else:
            why = f"{bind.host}:{bind.port} is not to be had ({error.strerror})"
        raise PortUnavailable(f"{why}; set {bind.variable} to a free port.") from error


def base_url(host: str, port: int) -> str:
    """Return the URL of a server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _exit() -> None:
    logging.shutdown()
    os._exit(_INTERRUPTED_EXIT)


@contextmanager
def stop_signals(at_once: Callable[[], None] = _exit) -> Iterator[asyncio.Event]:
    """Give an event that a signal to stop sets; at a second signal ``at_once`` is called.

    These are SIGINT, SIGTERM, and SIGHUP unless it is ignored already (``nohup``).
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    is_first = True

    def handle() -> None:
        nonlocal is_first
        if not is_first:
            at_once()
        is_first = False
        stop.set()

    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, handle)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
