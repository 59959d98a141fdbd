"""A forward proxy on loopback, as operators have one: every name leads to this host there."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from tests.support.raw_receivers import StreamServer
from tests.support.receivers import LOOPBACK

_END = b"\r\n\r\n"


class ForwardProxy(StreamServer):
    """Forwards what it is asked for, tunnels included, and remembers the heads that asked.

    ``seen`` is all that came through it from the sender, as far as the proxy could read it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[str] = []
        self.seen = bytearray()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect to where the first request leads; later ones on the connection go there too."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(_END)).decode()
                self.heads.append(head)
                method, target, _ = head.split(" ", 2)
                tunnels = method == "CONNECT"
                port = urlsplit(f"//{target}" if tunnels else target).port
                theirs, ours = await asyncio.open_connection(LOOPBACK, port)
                if tunnels:
                    writer.write(b"HTTP/1.1 200 Connection established" + _END)
                else:
                    ours.write(_forwarded(head).encode())
                try:
                    async with asyncio.TaskGroup() as both:
                        both.create_task(self._pass_on(reader, ours, tells=True))
                        both.create_task(self._pass_on(theirs, writer, tells=False))
                finally:
                    ours.close()
        finally:
            writer.close()

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, tells: bool
    ) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(65536):
                if tells:
                    self.seen += piece
                sink.write(piece)
                await sink.drain()
        sink.close()


def _forwarded(head: str) -> str:
    """Return the request as the origin is to see it: without what was the proxy's own."""
    first, *lines = head.split("\r\n")
    method, url, version = first.split(" ")
    kept = [line for line in lines if not line.lower().startswith("proxy-")]
    target = url.removeprefix(f"http://{urlsplit(url).netloc}")
    return "\r\n".join([f"{method} {target} {version}", *kept])
