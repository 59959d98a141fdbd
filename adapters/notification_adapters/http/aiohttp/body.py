"""Reading the body of a response: raw, to a limit, and whatever happens to the connection."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientPayloadError, ClientResponse, StreamReader

from notification_adapters.http.failures import malformed_body
from notification_core.ports.sender import MAX_RESPONSE_BYTES


class _Malformed(Exception):
    """A body whose framing is broken."""


async def read(response: ClientResponse, body: bytearray) -> bool:
    """Add what comes to ``body``, at most 64 KiB, and tell whether that is all.

    Where this is cancelled ``body`` holds what came. Raises :class:`SendingFailed` where the body
    is not HTTP.
    """
    content = response.content
    if content.is_eof():
        body += content.read_nowait(MAX_RESPONSE_BYTES)
        return content.at_eof()
    try:
        with _ended_by_close(response, content):
            while len(body) < MAX_RESPONSE_BYTES and not content.at_eof():
                body += await content.read(MAX_RESPONSE_BYTES - len(body))
    except ClientPayloadError:
        return False
    except _Malformed as error:
        raise malformed_body() from error
    return content.at_eof()


@contextmanager
def _ended_by_close(response: ClientResponse, content: StreamReader) -> Iterator[None]:
    """Wake the reader where the connection closes and aiohttp tells it nothing.

    That is where a later piece of the body is malformed: the reader would wait for its timeout.
    """

    def end(closed: asyncio.Future[None] | None) -> None:
        if closed is not None and not closed.cancelled():
            closed.exception()
        if not content.is_eof() and content.exception() is None:
            content.set_exception(_Malformed())

    protocol = None if response.connection is None else response.connection.protocol
    closed = None if protocol is None else protocol.closed
    if closed is None:
        end(None)
        yield
        return
    closed.add_done_callback(end)
    try:
        yield
    finally:
        closed.remove_done_callback(end)
