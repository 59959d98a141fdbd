"""A receiver that is never the limit; run as a process of its own.

``python -m tests.benchmarks.receiver PORT_FILE [CERTIFICATE KEY]``. What a path does:

* ``/slow/SECONDS`` returns 204 after that time, ``/never`` not at all;
* ``/half`` answers every second request with 500;
* ``/timed`` returns 204 and keeps the time from the ``"sent_at":`` of the body to now;
* ``GET /timed`` tells these times as JSON, in seconds, and forgets them;
* ``GET /count`` tells how many requests have come and how many CPU seconds that took;
* any other path returns 204.
"""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

_OK = b"HTTP/1.1 204 No Content\r\n\r\n"
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_SENT_AT = b'"sent_at":'


class Receiver(asyncio.Protocol):
    """One connection: reads requests by their Content-Length, answers each."""

    received = 0
    latencies: list[float]

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            until = end + 4 + _content_length(head)
            if len(self._buffer) < until:
                return
            body, self._buffer = self._buffer[end + 4 : until], self._buffer[until:]
            self._respond(head, body)

    def _respond(self, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b" ", 2)
        if method == b"GET" and path in _TOLD:
            self._write(_json(_TOLD[path]()))
            return
        Receiver.received += 1
        if path == b"/timed":
            Receiver.latencies.append(time.time() - _sent_at(body))
        if path.startswith(b"/slow/"):
            asyncio.get_running_loop().call_later(float(path[6:]), self._write, _OK)
        elif path != b"/never":
            failing = path == b"/half" and Receiver.received % 2
            self._write(_ERROR if failing else _OK)

    def _write(self, response: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(response)


def _latencies() -> object:
    told, Receiver.latencies = Receiver.latencies, []
    return told


def _count() -> object:
    return {"received": Receiver.received, "cpu": time.process_time()}


_TOLD: dict[bytes, Callable[[], object]] = {b"/timed": _latencies, b"/count": _count}


def _json(told: object) -> bytes:
    body = json.dumps(told).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _content_length(head: bytes) -> int:
    head = head.lower()
    at = head.find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _sent_at(body: bytes) -> float:
    at = body.index(_SENT_AT) + len(_SENT_AT)
    return float(body[at:].split(b",", 1)[0].split(b"}", 1)[0])


def _tls(files: list[str]) -> ssl.SSLContext | None:
    if not files:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return context


async def main(port_file: Path, tls: ssl.SSLContext | None) -> None:
    """Serve until killed, and say in a file on which port."""
    Receiver.latencies = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0, backlog=1024, ssl=tls)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), _tls(sys.argv[2:])))
