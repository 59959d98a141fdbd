"""What every HTTP sender sends: one request at most for a call, as it is."""

import asyncio
import time
from functools import partial

import pytest

from notification_adapters.http.messages import IDLE
from notification_core.errors import InvalidInput
from notification_core.model.delivery import ErrorCode
from notification_core.model.webhook import Method
from notification_core.ports.sender import (
    HttpRequest,
    HttpSender,
)
from tests.support.raw_receivers import (
    NO_CONTENT,
    Act,
    RawReceiver,
    closes,
    resets,
    says,
)
from tests.support.receivers import Receiver
from tests.support.sending import (
    EMPTY,
    ENOUGH,
    OK,
    SHORT,
    failure,
    send,
)

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


async def test_an_accept_header_of_its_own_takes_the_place_of_ours(sender: HttpSender) -> None:
    async with Receiver() as receiver:
        headers = (("accept", "text/plain"),)
        await sender.send(HttpRequest(Method.POST, receiver.url, headers, b"{}"), ENOUGH)
        (request,) = receiver.requests
    assert request.headers.getall("Accept") == ["text/plain"]


async def test_a_url_without_a_path_asks_for_the_root(sender: HttpSender) -> None:
    async with Receiver() as receiver:
        await send(sender, receiver.url.rstrip("/") + "?a=1")
        (request,) = receiver.requests
    assert request.path == "/?a=1"


@pytest.mark.parametrize("host", ["Receiver.Example", "receiver.example."])
async def test_the_host_header_has_no_trailing_dot(sender: HttpSender, host: str) -> None:
    async with Receiver() as receiver:
        await send(sender, f"http://{host}:{receiver.port}/")
        (request,) = receiver.requests
    assert request.headers["Host"].lower() == f"receiver.example:{receiver.port}"


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


async def test_where_a_redirect_leads_is_told(sender: HttpSender) -> None:
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://10.0.0.1/\r\n"
    async with RawReceiver(says(moved + EMPTY)) as receiver:
        response = await send(sender, receiver.url)
    assert ("Location", "http://10.0.0.1/") in response.headers


async def test_cookies_are_not_sent_back(sender: HttpSender) -> None:
    async with RawReceiver(says(OK + b"Set-Cookie: tenant=a\r\n" + EMPTY)) as receiver:
        for _ in range(2):
            await send(sender, receiver.url)
    assert b"tenant" not in receiver.requests[1]


async def test_what_came_while_a_connection_was_idle_is_not_taken_for_a_response(
    sender: HttpSender,
) -> None:
    stray = says(NO_CONTENT, b"HTTP/1.1 200 OK\r\n" + EMPTY, apart=0.05)
    async with RawReceiver(stray, says(b"HTTP/1.1 500 No\r\n" + EMPTY)) as receiver:
        await send(sender, receiver.url)
        await asyncio.sleep(0.1)  # until the stray response has certainly been read
        assert (await send(sender, receiver.url)).http_code == 500


async def test_what_follows_a_response_at_once_is_not_taken_for_the_next_response(
    sender: HttpSender,
) -> None:
    two = b"HTTP/1.1 200 OK\r\n" + EMPTY + b"HTTP/1.1 200 OK\r\n" + EMPTY
    async with RawReceiver(says(two), says(b"HTTP/1.1 500 No\r\n" + EMPTY)) as receiver:
        await send(sender, receiver.url)
        assert (await send(sender, receiver.url)).http_code == 500


async def test_a_connection_that_was_closed_while_it_was_idle_is_not_used(
    sender: HttpSender,
) -> None:
    async def respond_and_close_later(connection: asyncio.StreamWriter) -> None:
        await says(NO_CONTENT)(connection)
        await asyncio.sleep(0.05)
        await closes()(connection)

    async with RawReceiver(respond_and_close_later) as receiver:
        for number in range(1, 4):
            assert (await send(sender, receiver.url)).http_code == 204
            await receiver.wait_for_end()
            await asyncio.sleep(0.1)  # until the end has certainly been read
            assert receiver.connections == number


async def test_a_connection_that_is_to_be_closed_is_not_used_again(sender: HttpSender) -> None:
    last = OK + b"Connection: close\r\n" + EMPTY
    async with RawReceiver(says(last)) as receiver:
        for _ in range(3):
            await send(sender, receiver.url)
        assert receiver.connections == 3


async def test_an_idle_connection_is_closed_after_two_seconds(sender: HttpSender) -> None:
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        await send(sender, receiver.url)
        began = time.monotonic()
        await receiver.wait_for_end()
    assert 1 <= time.monotonic() - began < 3 * IDLE.total_seconds()


async def test_a_server_that_speaks_first_is_not_connected_to_again_and_again(
    sender: HttpSender,
) -> None:
    greeting = b"HTTP/1.1 413 Too Large\r\n" + EMPTY
    async with RawReceiver(greeting=greeting, deaf=True) as receiver:
        assert (await send(sender, receiver.url)).http_code == 413
        assert receiver.connections == 1


async def test_a_connection_on_which_a_request_is_still_going_out_is_not_used_again(
    sender: HttpSender,
) -> None:
    request_to = partial(HttpRequest, Method.POST, headers=(), body=bytes(16 * 2**20))
    async with RawReceiver(greeting=b"HTTP/1.1 413 No\r\n" + EMPTY, eager=True) as receiver:
        for number in (1, 2):
            response = await sender.send(request_to(url=receiver.url), ENOUGH)
            assert (response.http_code, receiver.connections) == (413, number)


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


@pytest.mark.parametrize(
    "act",
    [says(), says(OK), says(OK + b"Content-Length: 9\r\n\r\nabc")],
    ids=["unanswered", "during the headers", "during the body"],
)
async def test_a_request_that_is_cancelled_leaves_no_connection(
    sender: HttpSender, act: Act
) -> None:
    async with RawReceiver(act) as receiver:
        sending = asyncio.create_task(send(sender, receiver.url))
        await receiver.wait_for_request()
        await asyncio.sleep(0.02)  # until what is said has certainly been read
        sending.cancel()
        await receiver.wait_for_end()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert receiver.connections == 1
