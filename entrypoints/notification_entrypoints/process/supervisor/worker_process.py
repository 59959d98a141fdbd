"""A worker's process as its supervisor sees it: started, asked, told to stop, and ended."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector
from attrs import define, field, frozen

from notification_entrypoints.serving.worker_channel import Ready, Refused, WorkerAddress, heard

_MODULE: Final = "notification_entrypoints.commands.worker"


@frozen
class Answer:
    """What a worker's ops server answered."""

    status: int
    media_type: str
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Tell whether it answered what was asked for."""
        return self.status == HTTPStatus.OK


@define(eq=False)
class WorkerProcess:
    """One life of a worker, from its start to its end."""

    berth: WorkerAddress
    process: Process
    ready: asyncio.Future[str] = field(factory=lambda: asyncio.get_running_loop().create_future())
    refused: Refused | None = None

    async def ended(self) -> int:
        """Hear what it says until it ends; return its exit code, negative for a signal's number."""
        stream = self.process.stdout
        assert stream  # noqa: S101 - it was started with one
        while line := await _line(stream):
            match heard(line):
                case Ready(announcement) if not self.ready.done():
                    self.ready.set_result(announcement)
                case Refused() as refused:
                    self.refused = refused
                case _:
                    pass
        return await self.process.wait()

    def stop(self) -> None:
        """Tell it to stop; doing it again changes nothing."""
        if self.process.stdin:
            self.process.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self.process.kill()

    async def ask(
        self, path: str, *, seconds: float, headers: Mapping[str, str] | None = None
    ) -> Answer | None:
        """Ask its ops server; None where it does not answer in time."""
        connector = UnixConnector(str(self.berth.socket))
        timeout = ClientTimeout(total=seconds)
        try:
            async with (
                ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://worker{path}", headers=headers) as response,
            ):
                return Answer(response.status, response.content_type, await response.read())
        except (ClientError, OSError):  # a time-out is one of these
            return None


async def spawned(command: str, berth: WorkerAddress, environ: Mapping[str, str]) -> WorkerProcess:
    """Start a worker: a process of its own, which inherits nothing but its standard streams."""
    process = await asyncio.create_subprocess_exec(
        *_program(command, berth), env=_environ(environ), stdin=PIPE, stdout=PIPE
    )
    return WorkerProcess(berth, process)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Return the next line; one that is longer than any that is meant for us is passed over."""
    while True:
        with suppress(ValueError):
            return await stream.readline()


def _program(command: str, berth: WorkerAddress) -> Sequence[str]:
    # -P: a file in the current folder must not stand in for a module.
    return (sys.executable, "-P", "-m", _MODULE, command, *berth.arguments())


def _environ(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Have modules found where they are found here, however this program was started."""
    return {**environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def ending(code: int) -> str:
    """Return in words how a process ended."""
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"{signal.Signals(-code).name} ended it"
    except ValueError:
        return f"signal {-code} ended it"
