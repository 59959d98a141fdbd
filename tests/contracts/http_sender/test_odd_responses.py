"""Odd and invalid responses: every sender comes to one verdict, and says what is wrong."""

from datetime import timedelta

import pytest

from notification_core.model.delivery import ErrorCode
from notification_core.ports.sender import HttpSender
from tests.support.raw_receivers import RawReceiver, closes, says
from tests.support.sending import failure, send

PATIENT = timedelta(seconds=30)
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
BODY = b"\r\nhello"

TAKEN = {
    "204 with a body": b"HTTP/1.1 204 No\r\n" + LENGTH + BODY,
    "204 with a body of no length": b"HTTP/1.1 204 No\r\n" + BODY,
    "204 with chunks": b"HTTP/1.1 204 No\r\n" + CHUNKED + b"\r\n" + CHUNKS,
    "304 with a body": b"HTTP/1.1 304 No\r\n" + LENGTH + BODY,
    "205 with a body": b"HTTP/1.1 205 No\r\n" + LENGTH + BODY,
    "more than the length": OK + LENGTH + BODY + b"more",
    "more after the last response": OK + b"Connection: close\r\n" + LENGTH + BODY + b"more",
    "several codings": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "one coding twice": OK + CHUNKED + CHUNKED + b"\r\n" + CHUNKS,
    "an extension of a chunk": OK + CHUNKED + b'\r\n5;a="b c"\r\nhello\r\n0\r\n\r\n',
    "a trailer": OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + LENGTH + BODY,
    "no reason": b"HTTP/1.1 200\r\n" + LENGTH + BODY,
    "lines without CR": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a folded header": OK + b"X: a\r\n b\r\n" + LENGTH + BODY,
    "a space before a colon": OK + b"Content-Length : 5\r\n" + BODY,
    "a control character": OK + b"X: a\x01b\r\n" + LENGTH + BODY,
    "an empty line before": b"\r\n" + OK + LENGTH + BODY,
    "a long header": OK + b"X: " + b"a" * 20_000 + b"\r\n" + LENGTH + BODY,
    "a long reason": b"HTTP/1.1 200 " + b"a" * 9_000 + b"\r\n" + LENGTH + BODY,
    "103 with a length": b"HTTP/1.1 103 E\r\n" + LENGTH + b"\r\n" + OK + LENGTH + BODY,
    "an upgrade": OK + b"Connection: upgrade\r\nUpgrade: h2c\r\n" + LENGTH + BODY,
}
STATUSES = {204: b"", 304: b"", 205: b"hello", 200: b"hello"}

LENGTHS, A_HEADER = "Content-Length is not a number", "A header of the response is malformed"
REFUSED = {
    "a length and a coding": (OK + LENGTH + CHUNKED + b"\r\n" + CHUNKS, "has both"),
    "a coding and a length": (OK + CHUNKED + LENGTH + b"\r\n" + CHUNKS, "has both"),
    "one length twice": (OK + LENGTH + LENGTH + BODY, "more than one Content-Length"),
    "two lengths": (OK + LENGTH + b"Content-Length: 6\r\n" + BODY, "more than one Content-Length"),
    "a list of lengths": (OK + b"Content-Length: 5, 5\r\n" + BODY, LENGTHS),
    "a negative length": (OK + b"Content-Length: -5\r\n" + BODY, LENGTHS),
    "a length of words": (OK + b"Content-Length: five\r\n" + BODY, LENGTHS),
    "an endless length": (OK + b"Content-Length: " + b"9" * 30 + b"\r\n" + BODY, LENGTHS),
    "an empty length": (OK + b"Content-Length:\r\n" + BODY, LENGTHS),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\n" + LENGTH + BODY, "neither 1.0 nor 1.1"),
    "HTTP/0.9": (b"hello", "does not begin with HTTP/1.1"),
    "another protocol": (b"ICY 200 OK\r\n" + LENGTH + BODY, "does not begin with HTTP/1.1"),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n" + LENGTH + BODY, "three digits"),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n" + LENGTH + BODY, "three digits"),
    "a status of letters": (b"HTTP/1.1 abc OK\r\n" + LENGTH + BODY, "three digits"),
    "a header without a name": (OK + b": a\r\n" + LENGTH + BODY, A_HEADER),
    "a header without a colon": (OK + b"X\r\n" + LENGTH + BODY, A_HEADER),
    "U+0000 in a header": (OK + b"X: a\x00b\r\n" + LENGTH + BODY, "U+0000"),
    "too many headers": (OK + b"X: a\r\n" * 150 + LENGTH + BODY, "more than 128 headers"),
    "large headers": (OK + (b"X: " + b"a" * 1000 + b"\r\n") * 90 + LENGTH + BODY, "too large"),
    "a chunk without a size": (
        OK + CHUNKED + b"\r\nzz\r\nhello\r\n0\r\n\r\n",
        "chunk is malformed",
    ),
    "a chunk that is too long": (OK + CHUNKED + b"\r\n5\r\nhelloX", "chunk is malformed"),
}


@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
async def test_an_odd_response_is_taken(sender: HttpSender, said: bytes) -> None:
    async with RawReceiver(says(said)) as receiver:
        response = await send(sender, receiver.url, PATIENT)
    assert str(response.http_code).encode() in said[:40] or response.http_code == 200
    assert response.body == STATUSES[response.http_code]
    assert not response.truncated


@pytest.mark.parametrize("kind", ["204 with a body", "more than the length"])
async def test_what_follows_a_response_is_not_the_beginning_of_the_next(
    sender: HttpSender, kind: str
) -> None:
    async with RawReceiver(says(TAKEN[kind]), says(OK + LENGTH + BODY)) as receiver:
        await send(sender, receiver.url)
        assert (await send(sender, receiver.url)).body == b"hello"
        assert receiver.connections == 2


@pytest.mark.parametrize(("said", "sentence"), REFUSED.values(), ids=REFUSED)
async def test_an_invalid_response_is_refused_with_what_is_invalid(
    sender: HttpSender, said: bytes, sentence: str
) -> None:
    async with RawReceiver(closes(said)) as receiver:
        error = await failure(sender, receiver.url, PATIENT)
    assert error.code is ErrorCode.INVALID_RESPONSE
    assert sentence in error.message
