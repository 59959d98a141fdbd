"""What every HTTP sender takes for a response."""

import asyncio
import gzip
import time

import pytest

from notification_core.model.delivery import ReceivedResponse
from notification_core.model.webhook import Method
from notification_core.ports.sender import (
    MAX_LOGGED_BYTES,
    MAX_RESPONSE_BYTES,
    HttpRequest,
    HttpSender,
)
from tests.support.raw_receivers import (
    NO_CONTENT,
    Act,
    RawReceiver,
    closes,
    hangs,
    resets,
    says,
    says_for_ever,
)
from tests.support.sending import CHUNKED, EMPTY, ENOUGH, OK, SHORT, assert_on_time, send


@pytest.mark.parametrize("status", [200, 204, 299, 304, 404, 410, 429, 500, 599, 999])
async def test_any_final_status_is_a_response(sender: HttpSender, status: int) -> None:
    raw = b"HTTP/1.1 %d Whatever\r\nX-A: 1\r\nX-A: 2\r\n" % status + EMPTY
    async with RawReceiver(says(raw)) as receiver:
        response = await send(sender, receiver.url)
    expected = (("X-A", "1"), ("X-A", "2"), ("Content-Length", "0"))
    assert response == ReceivedResponse(status, expected, b"")


async def test_interim_responses_are_ignored(sender: HttpSender) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with RawReceiver(says(early * 3 + NO_CONTENT)) as receiver:
        assert (await send(sender, receiver.url)).http_code == 204


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (OK + b"Content-Length: 3\r\n\r\nabc", b"abc"),
        (CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (CHUNKED + b"3;a=b;c\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n", b"abc"),
        (CHUNKED + b"3  \r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200\r\n" + EMPTY, b""),
        (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", b"abc"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\n" + EMPTY, b""),
    ],
    ids=lambda said: said[-40:].decode(),
)
async def test_a_response_ends_where_it_says(sender: HttpSender, said: bytes, body: bytes) -> None:
    async with RawReceiver(says(said)) as receiver:
        response = await send(sender, receiver.url)
    assert (response.body, response.truncated) == (body, False)
    assert "X-Trailer" not in dict(response.headers)


@pytest.mark.parametrize("said", [OK, b"HTTP/1.0 200 OK\r\n", OK + b"Connection: close\r\n"])
async def test_a_body_without_a_length_ends_with_the_connection(
    sender: HttpSender, said: bytes
) -> None:
    async with RawReceiver(closes(said + b"X-A: 1\r\n\r\nabc")) as receiver:
        response = await send(sender, receiver.url)
    assert (response.body, response.truncated) == (b"abc", False)


async def test_a_header_that_goes_on_in_the_next_line_is_one(sender: HttpSender) -> None:
    async with RawReceiver(says(OK + b"X-A: a\r\n  b\r\n" + EMPTY)) as receiver:
        response = await send(sender, receiver.url)
    assert dict(response.headers)["X-A"].split() == ["a", "b"]


@pytest.mark.parametrize(
    ("size", "kept", "truncated"),
    [
        (0, 0, False),
        (MAX_LOGGED_BYTES, MAX_LOGGED_BYTES, False),
        (MAX_LOGGED_BYTES + 1, MAX_LOGGED_BYTES, True),
        (MAX_RESPONSE_BYTES + 1, MAX_LOGGED_BYTES, True),
    ],
)
async def test_a_body_is_kept_up_to_16_kib(
    sender: HttpSender, size: int, kept: int, *, truncated: bool
) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    raw = OK + b"Content-Length: %d\r\n\r\n" % size + body[:size]
    async with RawReceiver(says(raw)) as receiver:
        response = await send(sender, receiver.url)
    assert (response.body, response.truncated) == (body[:kept], truncated)


async def test_a_compressed_body_stays_compressed(sender: HttpSender) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with RawReceiver(says(OK + head + bomb)) as receiver:
        response = await send(sender, receiver.url)
    assert response.body == bomb[:MAX_LOGGED_BYTES]


async def test_headers_that_are_no_ascii_come_as_text_that_can_be_stored(
    sender: HttpSender,
) -> None:
    raw = OK + b"X-Latin: \xff\xe9\r\nX-Utf: \xc3\xa9\r\n" + EMPTY
    async with RawReceiver(says(raw)) as receiver:
        response = await send(sender, receiver.url)
    assert dict(response.headers)["X-Utf"] == "é"
    assert all(value.encode() for _, value in response.headers)


@pytest.mark.parametrize(
    "act",
    [
        says(OK + b"Content-Length: 10\r\n\r\nabc"),
        says(CHUNKED + b"3\r\nabc\r\n"),
        says(CHUNKED, b"3\r\nabc\r\n", apart=0.05),
    ],
    ids=["length", "chunked", "chunked in pieces"],
)
@pytest.mark.parametrize("end", [closes(), resets(), hangs], ids=["closed", "reset", "hangs"])
async def test_once_the_headers_are_there_the_response_counts(
    sender: HttpSender, act: Act, end: Act
) -> None:
    async def begin_and_end(connection: asyncio.StreamWriter) -> None:
        await act(connection)
        await asyncio.sleep(0.05)  # a cut that comes with the body may take it along
        await end(connection)

    async with RawReceiver(begin_and_end) as receiver:
        response = await send(sender, receiver.url, SHORT)
    assert (response.http_code, response.body, response.truncated) == (200, b"abc", True)


@pytest.mark.parametrize(
    "cut", [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nab"]
)
async def test_a_body_that_is_cut_together_with_its_headers_counts_too(
    sender: HttpSender, cut: bytes
) -> None:
    async with RawReceiver(closes(OK + cut)) as receiver:
        response = await send(sender, receiver.url, SHORT)
    assert (response.http_code, response.truncated) == (200, True)


async def test_a_body_that_drips_is_cut_at_the_deadline(sender: HttpSender) -> None:
    begin = OK + b"Content-Length: 1000\r\n\r\n"
    async with RawReceiver(says_for_ever(b"x", begin=begin, apart=0.01)) as receiver:
        began = time.monotonic()
        response = await send(sender, receiver.url, SHORT)
    assert_on_time(began)
    assert (response.http_code, response.truncated) == (200, True)
    assert set(response.body) == {ord("x")}


async def test_a_response_that_comes_before_the_request_is_read_counts(sender: HttpSender) -> None:
    raw = b"HTTP/1.1 413 Too Large\r\n" + EMPTY
    async with RawReceiver(greeting=raw, deaf=True) as receiver:
        request = HttpRequest(Method.POST, receiver.url, (), bytes(2**20))
        assert (await sender.send(request, ENOUGH)).http_code == 413
        assert receiver.connections == 1
