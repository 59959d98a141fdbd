"""Pass connections from ports of loopback on to sockets: ``python relay.py PORT=SOCKET …``."""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress


async def _pass_on(path: str, reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        other_reader, other_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _main(pairs: list[str]) -> None:
    for pair in pairs:
        port, _, path = pair.partition("=")

        async def connected(reader: StreamReader, writer: StreamWriter, path: str = path) -> None:
            await _pass_on(path, reader, writer)

        await asyncio.start_server(connected, "127.0.0.1", int(port))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
