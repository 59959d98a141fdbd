"""Reading responses: what llhttp makes of the bytes, within limits."""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from notification_adapters.http import failures
from notification_adapters.http.messages import (
    FIRST_FINAL_STATUS,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    received,
)
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
        """Begin a response again."""
        self.ended = False
        self.reusable = False
        self.amid_head = False
        self._complete = False
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_size = 0
        self._size = 0
        self._had_interim = False
        self._failure: SendingFailed | None = None

    def feed(self, data: bytes) -> ReceivedResponse | None:
        """Read what came; return the response once it has ended.

        Raises :class:`SendingFailed` if it is not HTTP, or is a response that cannot be accepted.
        """
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.ended:
                malformed = (
                    failures.malformed_body()
                    if self._status
                    else failures.malformed_head(str(error))
                )
                raise self._failure or malformed from error
            self.reusable = False
        if not self.ended and self._size > MAX_HEADER_BYTES:
            if not self._status:
                if not self._had_interim:
                    raise failures.headers_too_large()
            elif self._size > MAX_WIRE_BYTES:
                self.ended = True
        if not self.ended:
            return None
        body = b"".join(self._body)
        self._body.clear()  # an idle connection holds nothing
        return received(self._status, self._headers, body, complete=self._complete)

    def end(self, *, orderly: bool) -> ReceivedResponse | None:
        """End with the connection; return the response if its headers are there.

        Raises :class:`SendingFailed` if it is a response that cannot be accepted.
        """
        if not self._status:
            return None
        self.ended = True
        self._complete = orderly and not self._is_framed()
        return received(self._status, self._headers, b"".join(self._body), complete=self._complete)

    def close(self) -> None:
        """Let go of the parser, which holds this reader as this reader holds it."""
        del self._parser

    @property
    def is_flood(self) -> bool:
        """Tell whether so many interim responses came that no more should be read."""
        return not self._status and self._size > MAX_HEADER_BYTES

    # What llhttp calls. A body is not decompressed; what follows its last chunk is not kept.

    def on_message_begin(self) -> None:
        """Begin a head: that of an interim response, or of the one that counts."""
        if self.ended:
            raise _Stop
        self.amid_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if self._status:
            return
        if b"\0" in value:
            self._failure = failures.malformed_head("Invalid HTTP header")
            raise _Stop
        if len(self._headers) >= MAX_HEADERS:
            self._failure = failures.too_many_headers(MAX_HEADERS)
            raise _Stop
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Keep a status."""
        status = self._parser.get_status_code()
        self.amid_head = False
        if status >= FIRST_FINAL_STATUS:
            self._status = status
            return
        if status < _FIRST_INTERIM_STATUS or status == _SWITCHING_PROTOCOLS:
            self._failure = failures.unusable_status(status)
            raise _Stop
        self._headers.clear()
        self._had_interim = True

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body, up to the limit."""
        self._body_size += len(piece)
        self._body.append(piece)
        if self._body_size > MAX_RESPONSE_BYTES:
            self.ended = True
            raise _Stop

    def on_message_complete(self) -> None:
        """End a response, unless it was an interim one."""
        if self._status:
            self.ended = self._complete = True
            self.reusable = self._parser.should_keep_alive()

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
