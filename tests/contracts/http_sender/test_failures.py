"""How every HTTP sender fails where what comes is no response."""

import asyncio
import gzip
import time
import traceback
import tracemalloc
from contextlib import AsyncExitStack

import pytest

from notification_core.deliveries import AttemptError, ErrorCode
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed
from notification_core.webhooks import Method
from tests.raw_receivers import Act, RawReceiver, closes, hangs, resets, says, says_for_ever
from tests.receivers import Receiver
from tests.sending import (
    CHUNKED,
    EMPTY,
    ENOUGH,
    OK,
    SHORT,
    assert_on_time,
    failure,
    send,
)


@pytest.mark.parametrize(
    "answer",
    [
        b"hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n" + EMPTY,
        b"HTTP/1.1 99 OK\r\n" + EMPTY,
        b"HTTP/1.1 1000 OK\r\n" + EMPTY,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"X: " + b"a" * 1_000_000 + b"\r\n" + EMPTY,
        OK + b"X: a\r\n" * 10_000 + EMPTY,
        OK + b"".join(b"X-%d: " % n + b"a" * 8000 + b"\r\n" for n in range(20)) + EMPTY,
        b"HTTP/1.1 200 " + b"a" * 1_000_000 + b"\r\n" + EMPTY,
        OK + b"X: a\x00b\r\n" + EMPTY,
        CHUNKED + b"zz\r\nabc\r\n",
    ],
    ids=lambda answer: answer[:60].decode(),
)
async def test_what_is_not_http_is_an_invalid_response(sender: HttpSender, answer: bytes) -> None:
    async with RawReceiver(says(answer)) as receiver:
        error = await failure(sender, receiver.url)
    assert error.code is ErrorCode.INVALID_RESPONSE


@pytest.mark.experiment(20, "a bad chunk")
async def test_a_chunk_that_is_bad_later_is_an_invalid_response_at_once(
    sender: HttpSender,
) -> None:
    async with RawReceiver(says(CHUNKED + b"3\r\nabc\r\n", b"zz\r\n", apart=0.05)) as receiver:
        error = await failure(sender, receiver.url)
    assert error.code is ErrorCode.INVALID_RESPONSE


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200", OK, OK + b"Content-Le"])
@pytest.mark.experiment(20, "headers that are cut")
async def test_headers_that_are_cut_are_an_invalid_response(
    sender: HttpSender, answer: bytes
) -> None:
    async with RawReceiver(closes(answer)) as receiver:
        error = await failure(sender, receiver.url)
    assert error.code is ErrorCode.INVALID_RESPONSE


@pytest.mark.parametrize("end", [closes(), resets()], ids=["closed", "reset"])
async def test_a_connection_that_ends_before_a_response_is_a_connect_error(
    sender: HttpSender, end: Act
) -> None:
    async with RawReceiver(end) as receiver:
        error = await failure(sender, receiver.url)
    assert error.code is ErrorCode.CONNECT


async def test_a_connection_that_is_refused_is_a_connect_error_that_names_no_address(
    sender: HttpSender,
) -> None:
    async with Receiver() as receiver:
        await receiver.down()
        error = await failure(sender, receiver.url)
    assert error == AttemptError(ErrorCode.CONNECT, "The connection was refused.")


@pytest.mark.parametrize(
    "act",
    [
        hangs,
        says(OK + b"X-A: 1\r\n"),
        says_for_ever(b"X-A: 1\r\n", begin=OK, apart=0.05),
        says_for_ever(b"HTTP/1.1 103 Early Hints\r\n\r\n", apart=0.001),
        says_for_ever(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "half the headers", "dripping headers", "103 for ever", "a flood of 100"],
)
@pytest.mark.experiment(19, "receivers that hang, trickle or answer 103 for ever")
async def test_an_attempt_without_a_response_ends_at_its_timeout(
    sender: HttpSender, act: Act
) -> None:
    async with RawReceiver(act) as receiver:
        began = time.monotonic()
        error = await failure(sender, receiver.url, SHORT)
    assert_on_time(began)
    assert error == AttemptError(ErrorCode.TIMEOUT, "No response came within 0.3 s.")


async def test_a_receiver_that_does_not_read_cannot_hold_the_sender(sender: HttpSender) -> None:
    async with RawReceiver(deaf=True) as receiver:
        began = time.monotonic()
        request = HttpRequest(Method.POST, receiver.url, (), bytes(16 * 2**20))
        with pytest.raises(SendingFailed) as failed:
            await sender.send(request, SHORT)
    assert_on_time(began)
    assert failed.value.error.code is ErrorCode.TIMEOUT


@pytest.mark.parametrize("answer", [b"no HTTP\r\n", b""])
async def test_a_failure_shows_no_header_and_no_body(sender: HttpSender, answer: bytes) -> None:
    async with RawReceiver(closes(answer)) as receiver:
        headers = (("Authorization", "Bearer s3cret"),)
        request = HttpRequest(Method.POST, receiver.url, headers, b"s3cret")
        with pytest.raises(SendingFailed) as failed:
            await sender.send(request, ENOUGH)
    assert "s3cret" not in "".join(traceback.format_exception(failed.value)) + repr(request)


@pytest.mark.experiment(20, "what hostile receivers say takes little memory")
async def test_what_hostile_receivers_say_takes_little_memory(sender: HttpSender) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    zipped = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    acts = [
        says(OK + zipped + bomb),
        says(OK + b"X: " + b"a" * 1_000_000 + b"\r\n" + EMPTY),
        says_for_ever(b"a" * 10_000, begin=OK + b"X: "),
        says_for_ever(b"X: a\r\n" * 1000, begin=OK),
        says_for_ever(b"a" * 10_000, begin=OK + b"\r\n"),
        says_for_ever(b"a" * 10_000, begin=CHUNKED + b"ffffff\r\n"),
        says_for_ever(b"1\r\na\r\n" * 1000, begin=CHUNKED),
        says_for_ever(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
    ]
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(RawReceiver(act)) for act in acts]
        tracemalloc.start()
        sending = (send(sender, receiver.url, SHORT) for receiver in receivers)
        await asyncio.gather(*sending, return_exceptions=True)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000_000
