"""One connection: a request goes out, its response comes in, then the next."""

import asyncio
import socket
import ssl
from time import monotonic
from typing import NamedTuple, cast

from notification_adapters.http import failures
from notification_adapters.http.native.response import ResponseReader
from notification_core.model.delivery import ReceivedResponse
from notification_core.ports.sender import SendingFailed

PIECE = 64 * 1024
"""A longer body goes out in pieces of this size, each when there is room for it."""

_NOTHING = memoryview(b"")

Outcome = ReceivedResponse | SendingFailed | TimeoutError
"""What a request came to. It is not an exception of its future: perhaps nobody awaits it."""


class HttpOrigin(NamedTuple):
    """What a connection leads to, and may be used again for."""

    scheme: str
    host: str
    port: int
    is_address: bool


class HttpConnection(asyncio.Protocol):
    """Carries one request and its response at a time.

    What comes between a response's end and the next request is never taken for a response: it ends
    the connection. ``deadline`` is until when a response is waited for, by the loop's clock;
    ``first_byte_at`` is when the first byte of the present one came, by the host's monotonic clock,
    0 as long as there is none; ``is_split`` says that it did not come in one piece.
    """

    _transport: asyncio.Transport

    def __init__(
        self, origin: HttpOrigin, loop: asyncio.AbstractEventLoop, socket_: socket.socket
    ) -> None:
        self.origin = origin
        self.deadline = 0.0
        self.first_byte_at = 0.0
        self.is_split = False
        self._loop = loop
        self._socket = socket_
        self._reader = ResponseReader()
        self._is_new = True
        self._unsent = _NOTHING
        self._has_room = True
        # What a server says before it is asked (that it is overloaded) is its response.
        self._outcome: asyncio.Future[Outcome] = loop.create_future()

    def request(self, head: bytes, body: bytes) -> asyncio.Future[Outcome]:
        """Send a request, and return what its outcome will be set on."""
        if not self._is_new:
            self.first_byte_at = 0.0
            self.is_split = False
            self._outcome = self._loop.create_future()
            self._reader.start()
        self._is_new = False
        if not self._outcome.done():
            if len(body) <= PIECE:
                self._transport.write(head + body)
            else:
                self._transport.write(head)
                self._unsent = memoryview(body)
                self._send_pieces()
        return self._outcome

    def expire(self) -> None:
        """Wait no longer: what came of the body by now is all of it."""
        self._end(TimeoutError(), orderly=False)

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing of the last request and its response is left on the connection."""
        return (
            self._reader.reusable
            and not self._transport.is_closing()
            and self._transport.get_write_buffer_size() == 0
        )

    @property
    def is_silent(self) -> bool:
        """Tell whether nothing has come since the last response, not even the connection's end.

        What a busy loop has not read yet, such as a second response or a close that was not
        announced, is found by a look at the socket.
        """
        if self._transport.is_closing():
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """End an idle connection in an orderly way."""
        self._transport.close()

    def abort(self) -> None:
        """End the connection now, whatever is on it."""
        self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to send on."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        reader = self._reader
        if not self.first_byte_at:
            self.first_byte_at = monotonic()
        if reader.ended:
            self.abort()
            return
        outcome: Outcome | None
        try:
            outcome = reader.feed(data)
        except SendingFailed as failure:
            outcome = failure
        if outcome is None:
            self.is_split = True
            if reader.is_flood:
                self._transport.pause_reading()
        elif not self._outcome.done():
            self._outcome.set_result(outcome)

    def eof_received(self) -> None:
        """Take the receiver's end of the connection for the end of all of it."""
        self._end_by_receiver(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection, or its break."""
        self._end_by_receiver(exc)
        self._reader.close()

    def pause_writing(self) -> None:
        """Send no more pieces for now."""
        self._has_room = False

    def resume_writing(self) -> None:
        """Send what is left."""
        self._has_room = True
        self._send_pieces()

    def _send_pieces(self) -> None:
        while self._unsent and self._has_room:
            piece, self._unsent = self._unsent[:PIECE], self._unsent[PIECE:]
            self._transport.write(piece)

    def _end_by_receiver(self, error: Exception | None) -> None:
        match error:
            case None if self._reader.amid_head:
                failure = failures.closed_amid_headers()
            case None:
                failure = failures.closed_early()
            case ssl.SSLError():
                failure = failures.tls_failed(error)
            case _:
                failure = failures.reset_early()
        self._end(failure, orderly=error is None)

    def _end(self, failure: SendingFailed | TimeoutError, *, orderly: bool) -> None:
        """Settle for the response as far as it came, and for the failure if none did."""
        if self._outcome.done():
            return
        outcome: Outcome
        try:
            outcome = self._reader.end(orderly=orderly) or failure
        except SendingFailed as unusable:
            outcome = unusable
        self._outcome.set_result(outcome)
