"""Whatever a receiver says: the native sender reads it alike however it comes apart, in bounds."""

import sys

import atheris

with atheris.instrument_imports():
    from notification_adapters.http.messages import MAX_HEADER_BYTES
    from notification_adapters.http.native.response import ResponseReader
    from notification_core.model.delivery import ErrorCode, ReceivedResponse
    from notification_core.ports.sender import MAX_LOGGED_BYTES, SendingFailed

BEGINNINGS = (
    b"",
    b"HTTP/1.1 ",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
)


def one_input(drawn: bytes) -> None:
    """Read a response whole, and again in pieces whose size is drawn too."""
    given = atheris.FuzzedDataProvider(drawn)
    beginning = BEGINNINGS[given.ConsumeIntInRange(0, len(BEGINNINGS) - 1)]
    size = given.ConsumeIntInRange(1, 40)
    said = beginning + given.ConsumeBytes(1 << 16)
    whole = read([said])
    assert read([said[at : at + size] for at in range(0, len(said), size)]) == whole
    if isinstance(whole, ReceivedResponse):
        check(whole)


def read(pieces: list[bytes]) -> ReceivedResponse | ErrorCode | None:
    """Return the response, the code of its error, or None where its headers never ended.

    The code alone: of a response with two faults, the pieces decide which one is seen first.
    """
    reader = ResponseReader()
    try:
        for piece in pieces:
            if (response := reader.feed(piece)) is not None:
                return response
        return reader.end(orderly=True)
    except SendingFailed as failure:
        return failure.error.code


def check(response: ReceivedResponse) -> None:
    """Look at what is logged."""
    text = "".join(name + value for name, value in response.headers)
    assert response.http_code >= 200
    assert len(response.body) <= MAX_LOGGED_BYTES
    assert len(text) <= MAX_HEADER_BYTES
    assert "\0" not in text
    assert text.encode().decode() == text


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
