"""Listening: HTTP servers that start with a clear error, and end when the process is told to."""

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web
from attrs import frozen

from notification_core.errors import NotificationError

_INTERRUPTED_EXIT = 130


class PortUnavailable(NotificationError):
    """A server cannot listen where it was told to; the message names the variable to change."""


@frozen
class Bind:
    """Where a server listens; ``variable`` is what sets the port, 0 takes a free one."""

    host: str
    port: int
    variable: str


@asynccontextmanager
async def listening(runner: web.AppRunner, bind: Bind) -> AsyncIterator[str]:
    """Serve an application for the length of the block; gives its base URL.

    At the end it accepts nothing more, and lets requests that are under way end within the
    runner's time-out.
    """
    await runner.setup()
    try:
        await _start(web.TCPSite(runner, bind.host, bind.port), bind)
        yield _base_url(bind.host, runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _start(site: web.TCPSite, bind: Bind) -> None:
    try:
        await site.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"{bind.host}:{bind.port} is in use by another process"
        else:
            why = f"{bind.host}:{bind.port} is not to be had ({error.strerror})"
        raise PortUnavailable(f"{why}; set {bind.variable} to a free port.") from error


def _base_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Give an event that SIGINT or SIGTERM sets; a second signal ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def handle() -> None:
        if stop.is_set():
            os._exit(_INTERRUPTED_EXIT)
        stop.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    for each in signals:
        loop.add_signal_handler(each, handle)
    try:
        yield stop
    finally:
        for each in signals:
            loop.remove_signal_handler(each)
