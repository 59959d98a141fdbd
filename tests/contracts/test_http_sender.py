"""What every HTTP sender promises to send, and to take for a response."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator

import pytest

from notification_adapters.http.sender import AiohttpSender
from notification_core.deliveries import ErrorCode, ReceivedResponse
from notification_core.errors import InvalidInput
from notification_core.ports.sender import (
    MAX_LOGGED_BYTES,
    MAX_RESPONSE_BYTES,
    HttpRequest,
    HttpSender,
)
from notification_core.webhooks import Method
from tests.raw_receivers import (
    NO_CONTENT,
    Act,
    RawReceiver,
    closes,
    hangs,
    resets,
    says,
    says_for_ever,
)
from tests.receivers import Receiver
from tests.sending import (
    CHUNKED,
    EMPTY,
    ENOUGH,
    LOOPBACK_OPEN,
    OK,
    SHORT,
    MakeSender,
    assert_on_time,
    failure,
    send,
)


@pytest.fixture(params=[AiohttpSender])
async def sender(request: pytest.FixtureRequest) -> AsyncIterator[HttpSender]:
    make: MakeSender = request.param
    sender = make(LOOPBACK_OPEN)
    yield sender
    await sender.close()


# What goes out


@pytest.mark.parametrize("method", Method)
async def test_a_request_goes_out_as_it_is_and_http_adds_only_what_it_needs(
    sender: HttpSender, method: Method
) -> None:
    headers = (("Content-Type", "application/json"), ("User-Agent", "us/1"), ("X-Tenant", "a b"))
    async with Receiver() as receiver:
        url = f"{receiver.url}a/../b%2Fc?q=%27;x=1,'"
        await sender.send(HttpRequest(method, url, headers, b'{"id":1}'), ENOUGH)
        (request,) = receiver.requests
    assert (request.method, request.body) == (method.upper(), b'{"id":1}')
    assert request.path == "/a/../b%2Fc?q=%27;x=1,'"
    assert sorted(request.headers.items()) == sorted(
        {
            **dict(headers),
            "Host": f"127.0.0.1:{receiver.port}",
            "Content-Length": "8",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }.items()
    )


async def test_nothing_is_added_to_a_request_without_headers(sender: HttpSender) -> None:
    async with Receiver() as receiver:
        await send(sender, receiver.url)
        (request,) = receiver.requests
    assert set(request.headers) == {"Host", "Content-Length", "Accept", "Accept-Encoding"}


@pytest.mark.parametrize(
    "header",
    [
        ("X-A: 1\r\nX-B", "2"),
        ("X-A:", "1"),
        ("X A", "1"),
        ("", "1"),
        ("X-Ä", "1"),
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\nX-B: 2"),
        ("X-A", "1\x00"),
        ("X-A", "ä"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("Host", "other.example"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
        ("Content-Type", "text/plain"),
        ("content-type", "text/plain"),
    ],
)
async def test_a_header_that_would_make_another_request_of_it_is_refused(
    sender: HttpSender, header: tuple[str, str]
) -> None:
    async with Receiver() as receiver:
        headers = (("Content-Type", "application/json"), header)
        with pytest.raises(InvalidInput):
            await sender.send(HttpRequest(Method.POST, receiver.url, headers, b"{}"), ENOUGH)
    assert receiver.requests == []


async def test_the_longest_event_goes_out_whole(sender: HttpSender) -> None:
    body = b"x" * (2**20 + 1000)
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        await sender.send(HttpRequest(Method.PUT, receiver.url, (), body), ENOUGH)
    assert receiver.requests[0].endswith(b"\r\n\r\n" + body)


async def test_the_environments_proxies_are_not_used(
    sender: HttpSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as receiver, RawReceiver(says(NO_CONTENT)) as proxy:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, proxy.url)
        assert (await send(sender, receiver.url)).http_code == 200
    assert proxy.connections == 0


# One call is one request at most


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("drop", [closes(), resets()], ids=["closed", "reset"])
async def test_a_request_is_not_repeated_on_a_kept_connection_that_is_dropped(
    sender: HttpSender, method: Method, drop: Act
) -> None:
    async with RawReceiver(says(NO_CONTENT), drop, says(NO_CONTENT)) as receiver:
        await send(sender, receiver.url, method=method)
        error = await failure(sender, receiver.url, method=method)
        assert (len(receiver.requests), receiver.connections) == (2, 1)
    assert error.code is ErrorCode.CONNECT


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_response_and_is_not_followed(
    sender: HttpSender, status: int
) -> None:
    async with RawReceiver(says(NO_CONTENT)) as target:
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {target.url}\r\n".encode() + EMPTY
        async with RawReceiver(says(moved)) as receiver:
            response = await send(sender, receiver.url)
    assert (response.http_code, target.connections) == (status, 0)
    assert ("Location", target.url) in response.headers


async def test_cookies_are_not_sent_back(sender: HttpSender) -> None:
    async with RawReceiver(says(OK + b"Set-Cookie: tenant=a\r\n" + EMPTY)) as receiver:
        for _ in range(2):
            await send(sender, receiver.url)
    assert b"tenant" not in receiver.requests[1]


async def test_what_came_while_a_connection_was_idle_is_not_taken_for_an_answer(
    sender: HttpSender,
) -> None:
    stray = says(NO_CONTENT, b"HTTP/1.1 200 OK\r\n" + EMPTY, apart=0.05)
    async with RawReceiver(stray, says(b"HTTP/1.1 500 No\r\n" + EMPTY)) as receiver:
        await send(sender, receiver.url)
        await asyncio.sleep(0.1)  # until the stray response has certainly been read
        assert (await send(sender, receiver.url)).http_code == 500


async def test_a_hundred_requests_at_once_use_each_connection_again(sender: HttpSender) -> None:
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                for _ in range(100):
                    group.create_task(send(sender, receiver.url))
        assert (len(receiver.requests), receiver.connections) == (300, 100)


async def test_hundreds_that_hang_do_not_delay_another(sender: HttpSender) -> None:
    async with Receiver("hang") as slow, Receiver() as fast:
        hanging = [asyncio.create_task(send(sender, slow.url)) for _ in range(300)]
        await slow.wait_for(300)
        assert (await send(sender, fast.url, SHORT)).http_code == 200
        slow.release()
        await asyncio.gather(*hanging)


async def test_a_request_that_is_cancelled_leaves_no_connection(sender: HttpSender) -> None:
    async with RawReceiver(says(OK)) as receiver:
        sending = asyncio.create_task(send(sender, receiver.url))
        await receiver.wait_for_request()
        sending.cancel()
        await receiver.wait_for_end()


# What comes back


@pytest.mark.parametrize("status", [200, 204, 299, 304, 404, 410, 429, 500, 599, 999])
async def test_any_final_status_is_a_response(sender: HttpSender, status: int) -> None:
    answer = b"HTTP/1.1 %d Whatever\r\nX-A: 1\r\nX-A: 2\r\n" % status + EMPTY
    async with RawReceiver(says(answer)) as receiver:
        response = await send(sender, receiver.url)
    expected = (("X-A", "1"), ("X-A", "2"), ("Content-Length", "0"))
    assert response == ReceivedResponse(status, expected, b"")


async def test_interim_responses_are_passed_over(sender: HttpSender) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with RawReceiver(says(early * 3 + NO_CONTENT)) as receiver:
        assert (await send(sender, receiver.url)).http_code == 204


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
    answer = OK + b"Content-Length: %d\r\n\r\n" % size + body[:size]
    async with RawReceiver(says(answer)) as receiver:
        response = await send(sender, receiver.url)
    assert (response.body, response.truncated) == (body[:kept], truncated)


async def test_an_endless_body_is_left_at_its_limit(sender: HttpSender) -> None:
    piece = b"x" * 4096
    async with RawReceiver(says_for_ever(piece, begin=OK + b"\r\n")) as receiver:
        response = await send(sender, receiver.url)
        await receiver.wait_for_end()
    assert (response.http_code, len(response.body)) == (200, MAX_LOGGED_BYTES)
    assert response.truncated


async def test_a_compressed_body_stays_compressed(sender: HttpSender) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with RawReceiver(says(OK + head + bomb)) as receiver:
        response = await send(sender, receiver.url)
    assert response.body == bomb[:MAX_LOGGED_BYTES]


async def test_headers_that_are_no_ascii_come_as_text_that_can_be_stored(
    sender: HttpSender,
) -> None:
    answer = OK + b"X-Latin: \xff\xe9\r\nX-Utf: \xc3\xa9\r\n" + EMPTY
    async with RawReceiver(says(answer)) as receiver:
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


async def test_an_answer_that_comes_before_the_request_is_read_counts(sender: HttpSender) -> None:
    answer = b"HTTP/1.1 413 Too Large\r\n" + EMPTY
    async with RawReceiver(greeting=answer, deaf=True) as receiver:
        request = HttpRequest(Method.POST, receiver.url, (), bytes(2**20))
        assert (await sender.send(request, ENOUGH)).http_code == 413
        assert receiver.connections == 1
