"""Programs that a session runs beside itself: servers by their command, and receivers."""

import asyncio
import os
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
from aiohttp import web

from tests.support.waiting import until

START_SECONDS = 30.0


@asynccontextmanager
async def running(
    folder: Path,
    command: Sequence[str],
    variables: Mapping[str, str],
    within: Path | None = None,
) -> AsyncIterator[Process]:
    """Run a command for the length of the block; what it prints goes to a file in a folder.

    It runs in the folder ``within``, by default in the current one.
    """
    with (folder / f"{Path(command[0]).name}.log").open("a") as log:
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **variables}, cwd=within, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


@asynccontextmanager
async def responding(port: int) -> AsyncIterator[None]:
    """Serve a receiver on loopback that responds with the status that its path names."""

    async def respond(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"received": True}, status=int(request.match_info["status"]))

    app = web.Application()
    app.router.add_post("/{status}", respond)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def until_ok(client: aiohttp.ClientSession, url: str) -> None:
    """Return once a server responds with 200."""

    async def is_ok() -> bool:
        try:
            async with client.get(url) as response:
                return response.status == HTTPStatus.OK
        except aiohttp.ClientError:
            return False

    await until(f"{url} is ready", is_ok, START_SECONDS)


def wait_until_ok(url: str, process: subprocess.Popen[bytes]) -> None:
    """Do as :func:`until_ok`, without a loop; end the program where the server's process ends."""
    end = time.monotonic() + START_SECONDS
    while process.poll() is None:
        try:
            with urlopen(url) as response:  # noqa: S310 - our own server on loopback
                response.read()
        except URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return
    sys.exit(f"it ended with {process.returncode}")
