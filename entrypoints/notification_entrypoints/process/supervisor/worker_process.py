"""A worker's process as its supervisor sees it: spawned, asked, stopped, and ended."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector
from attrs import define, field, frozen

from notification_entrypoints.serving.worker_channel import (
    Ready,
    Refused,
    WorkerAddress,
    parse_report,
)

_MODULE: Final = "notification_entrypoints.commands.worker"


@frozen
class WorkerResponse:
    """A response of a worker's ops server."""

    status: int
    media_type: str
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Tell whether it has what was asked for."""
        return self.status == HTTPStatus.OK


@define(eq=False)
class WorkerProcess:
    """One process of a worker, from its start to its exit."""

    address: WorkerAddress
    process: Process
    ready: asyncio.Future[str] = field(factory=lambda: asyncio.get_running_loop().create_future())
    refused: Refused | None = None

    async def wait(self) -> int:
        """Read its reports until it exits; return its exit code, negative for a signal's number."""
        stream = self.process.stdout
        assert stream  # noqa: S101 - it was started with one
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than any line that is meant for us
                continue
            if not line:
                return await self.process.wait()
            match parse_report(line):
                case Ready(announcement) if not self.ready.done():
                    self.ready.set_result(announcement)
                case Refused() as refused:
                    self.refused = refused
                case _:
                    pass

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
    ) -> WorkerResponse | None:
        """Ask its ops server; None where it does not respond in time."""
        connector = UnixConnector(str(self.address.socket))
        timeout = ClientTimeout(total=seconds)
        try:
            async with (
                ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://worker{path}", headers=headers) as response,
            ):
                body = await response.read()
                return WorkerResponse(response.status, response.content_type, body)
        except (ClientError, OSError):  # a time-out is one of these
            return None


async def spawn(command: str, address: WorkerAddress, environ: Mapping[str, str]) -> WorkerProcess:
    """Start a worker: a process of its own, which inherits nothing but its standard streams."""
    process = await asyncio.create_subprocess_exec(
        # -P: a file in the current folder must not stand in for a module.
        *(sys.executable, "-P", "-m", _MODULE, command, *address.arguments()),
        # Modules are found where they are found here, however this program was started.
        env={**environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=PIPE,
        stdout=PIPE,
    )
    return WorkerProcess(address, process)


def describe_exit(code: int) -> str:
    """Return in words how a process ended."""
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"{signal.Signals(-code).name} ended it"
    except ValueError:
        return f"signal {-code} ended it"
