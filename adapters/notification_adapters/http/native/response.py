"""Reading responses: what llhttp makes of the bytes, within limits."""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from notification_adapters.http import failures
from notification_adapters.http.limits import MAX_HEADER_BYTES, MAX_HEADERS
from notification_adapters.http.responses import FIRST_FINAL_STATUS, received
from notification_core.model.delivery import ReceivedResponse
from notification_core.ports.sender import MAX_RESPONSE_BYTES, SendingFailed

MAX_WIRE_BYTES = 16 * MAX_RESPONSE_BYTES
"""All bytes of a response. Framing may be so much longer than what it frames, and no longer."""

_FIRST_INTERIM_STATUS = 100
_SWITCHING_PROTOCOLS = 101


class _Stop(Exception):
    """Raised in a callback: llhttp is to read no further."""


class ResponseReader:
    """Reads the responses of one connection, one after the other; knows no clock and no socket.

    ``ended`` is set when a response is whole or as long as it may get; ``reusable`` when a next
    one may follow it on the same connection; ``amid_head`` while a head has begun and not ended.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        # What old servers write, and a client is asked to take: lines that end without a CR, or go
        # on in the next one (RFC 9112, sections 2.2 and 5.2), and chunk sizes that are padded.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self.start()

    def start(self) -> None:
        """Begin a response anew."""
        self.ended = False
        self.reusable = False
        self.amid_head = False
        self._whole = False
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_size = 0
        self._size = 0
        self._passed_over = False
        self._failure: SendingFailed | None = None

    def feed(self, data: bytes) -> ReceivedResponse | None:
        """Take what came; return the response once it has ended.

        Raises :class:`SendingFailed` where it is not HTTP, or none that can be taken.
        """
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.ended:
                raise self._failure or self._malformed(str(error)) from error
            self.reusable = False
        if not self.ended and self._size > MAX_HEADER_BYTES:
            self._check_size()
        return self._response() if self.ended else None

    def end(self, *, orderly: bool) -> ReceivedResponse | None:
        """Take the end of the connection; return the response if its headers are there.

        Raises :class:`SendingFailed` where it is none that can be taken.
        """
        if not self._status:
            return None
        self.ended = True
        self._whole = orderly and not self._is_framed()
        return self._response()

    def close(self) -> None:
        """Let go of the parser, which holds this reader as this reader holds it."""
        del self._parser

    @property
    def is_flood(self) -> bool:
        """Tell whether so many interim responses came that nobody should listen any more."""
        return not self._status and self._size > MAX_HEADER_BYTES

    # What llhttp calls. A body is never unpacked; what follows the body's last chunk is not kept.

    def on_message_begin(self) -> None:
        """Begin a head: that of an interim response, or of the one that counts."""
        if self.ended:
            raise _Stop
        self.amid_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self._status:
            return
        if b"\0" in value:
            self._failure = failures.malformed_head("Invalid HTTP header")
            raise _Stop
        if len(self._headers) >= MAX_HEADERS:
            self._failure = failures.too_many_headers()
            raise _Stop
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take a status."""
        status = self._parser.get_status_code()
        self.amid_head = False
        if status >= FIRST_FINAL_STATUS:
            self._status = status
            return
        if status < _FIRST_INTERIM_STATUS or status == _SWITCHING_PROTOCOLS:
            self._failure = failures.unusable_status(status)
            raise _Stop
        self._headers.clear()
        self._passed_over = True

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body, up to the limit."""
        self._body_size += len(piece)
        self._body.append(piece)
        if self._body_size > MAX_RESPONSE_BYTES:
            self.ended = True
            raise _Stop

    def on_message_complete(self) -> None:
        """Take the end of a response, unless it was an interim one."""
        if self._status:
            self.ended = self._whole = True
            self.reusable = self._parser.should_keep_alive()

    def _response(self) -> ReceivedResponse:
        body = b"".join(self._body)
        self._body.clear()  # an idle connection holds nothing
        return received(self._status, self._headers, body, whole=self._whole)

    def _check_size(self) -> None:
        if not self._status:
            if not self._passed_over:
                raise failures.headers_too_large()
        elif self._size > MAX_WIRE_BYTES:
            self.ended = True

    def _malformed(self, reason: str) -> SendingFailed:
        return failures.malformed_body() if self._status else failures.malformed_head(reason)

    def _is_framed(self) -> bool:
        """Tell whether the body says where it ends; else the end of the connection does."""
        encoding = b""
        for name, value in self._headers:
            match name.lower():
                case b"content-length":
                    return True
                case b"transfer-encoding":
                    encoding = value
        return encoding.rpartition(b",")[2].strip().lower() == b"chunked"
