"""Whom every HTTP sender trusts over TLS, and that nothing else is different there."""

import asyncio
import ssl

import pytest

from notification_adapters.http.destination_guard import system_trust
from notification_core.model.delivery import ErrorCode
from notification_core.model.webhook import Method
from notification_core.ports.sender import HttpRequest, HttpSender
from tests.support.certificates import Authority
from tests.support.raw_receivers import NO_CONTENT, RawReceiver, closes, hangs, resets, says
from tests.support.receivers import Receiver
from tests.support.sending import (
    ENOUGH,
    LOOPBACK_OPEN,
    OK,
    SHORT,
    MakeSender,
    failure,
    send,
)

NAME = "receiver.example"
# Servers differ in whether they say what they miss before they drop a connection.
NOT_CONNECTED = {ErrorCode.TLS, ErrorCode.CONNECT}


# Trust


async def test_the_names_of_tls_and_of_the_host_header_are_the_urls(
    make_sender: MakeSender, authority: Authority
) -> None:
    asked_for: list[str | None] = []
    server = authority.server(NAME)
    server.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    async with Receiver(ssl_context=server) as receiver:
        sender = make_sender(LOOPBACK_OPEN, ssl_context=authority.trusted_by(system_trust()))
        assert (await send(sender, f"https://{NAME}:{receiver.port}/")).http_code == 200
        (request,) = receiver.requests
    assert asked_for == [NAME]
    assert request.headers["Host"] == f"{NAME}:{receiver.port}"


@pytest.mark.parametrize(
    ("host", "expired", "words"),
    [
        ("other.example", False, "for another host name"),
        (NAME, True, "has expired"),
    ],
)
@pytest.mark.experiment(20, "a certificate that does not hold")
async def test_a_certificate_that_does_not_hold_is_a_tls_error_that_says_why(
    make_sender: MakeSender, authority: Authority, host: str, words: str, *, expired: bool
) -> None:
    async with Receiver(ssl_context=authority.server(host, expired=expired)) as receiver:
        sender = make_sender(LOOPBACK_OPEN, ssl_context=authority.trusted_by(system_trust()))
        error = await failure(sender, f"https://{NAME}:{receiver.port}/")
        assert receiver.requests == []
    assert error.code is ErrorCode.TLS
    assert words in error.message


async def test_an_authority_that_the_system_does_not_know_is_not_trusted(
    make_sender: MakeSender, authority: Authority
) -> None:
    async with Receiver(ssl_context=authority.server(NAME)) as receiver:
        error = await failure(make_sender(LOOPBACK_OPEN), f"https://{NAME}:{receiver.port}/")
        assert receiver.requests == []
    assert error.code is ErrorCode.TLS
    assert "not trusted" in error.message


async def test_http_2_is_not_offered(make_sender: MakeSender, authority: Authority) -> None:
    server = authority.server(NAME)
    server.set_alpn_protocols(["h2", "http/1.1"])
    async with Receiver(ssl_context=server) as receiver:
        sender = make_sender(LOOPBACK_OPEN, ssl_context=authority.trusted_by(system_trust()))
        assert (await send(sender, f"https://{NAME}:{receiver.port}/")).http_code == 200


# The same as without TLS


@pytest.fixture
async def trusting(make_sender: MakeSender, authority: Authority) -> HttpSender:
    return make_sender(LOOPBACK_OPEN, ssl_context=authority.trusted_by(system_trust()))


@pytest.fixture
def certified(authority: Authority) -> ssl.SSLContext:
    return authority.server(NAME)


async def test_a_connection_is_used_again_over_tls(
    trusting: HttpSender, certified: ssl.SSLContext
) -> None:
    async with RawReceiver(says(NO_CONTENT), ssl_context=certified) as receiver:
        for _ in range(3):
            assert (await send(trusting, receiver.url_of(NAME))).http_code == 204
        assert receiver.connections == 1


async def test_a_connection_that_was_closed_while_it_was_idle_is_not_used_over_tls(
    trusting: HttpSender, certified: ssl.SSLContext
) -> None:
    async with RawReceiver(closes(NO_CONTENT), ssl_context=certified) as receiver:
        for number in (1, 2, 3):
            assert (await send(trusting, receiver.url_of(NAME))).http_code == 204
            await asyncio.sleep(0.1)  # until the end has certainly been read
            assert receiver.connections == number


async def test_a_long_body_goes_out_whole_over_tls(
    trusting: HttpSender, certified: ssl.SSLContext
) -> None:
    body = bytes(range(256)) * 4096 + b"end"
    async with RawReceiver(says(NO_CONTENT), ssl_context=certified) as receiver:
        request = HttpRequest(Method.POST, receiver.url_of(NAME), (), body)
        assert (await trusting.send(request, ENOUGH)).http_code == 204
        assert receiver.requests[0].endswith(b"\r\n\r\n" + body)


async def test_a_body_without_a_length_ends_with_the_connection_over_tls(
    trusting: HttpSender, certified: ssl.SSLContext
) -> None:
    async with RawReceiver(closes(OK + b"\r\nabc"), ssl_context=certified) as receiver:
        response = await send(trusting, receiver.url_of(NAME))
    assert (response.body, response.truncated) == (b"abc", False)


async def test_a_body_that_is_cut_counts_over_tls(
    trusting: HttpSender, certified: ssl.SSLContext
) -> None:
    act = resets(OK + b"Content-Length: 9\r\n\r\nabc")
    async with RawReceiver(act, ssl_context=certified) as receiver:
        response = await send(trusting, receiver.url_of(NAME))
    assert (response.body, response.truncated) == (b"abc", True)


async def test_a_connection_that_ends_before_a_response_is_a_connect_error_over_tls(
    trusting: HttpSender, certified: ssl.SSLContext
) -> None:
    async with RawReceiver(closes(), ssl_context=certified) as receiver:
        error = await failure(trusting, receiver.url_of(NAME))
        assert len(receiver.requests) == 1
    assert error.code is ErrorCode.CONNECT


async def test_a_request_that_is_cancelled_leaves_no_connection_over_tls(
    trusting: HttpSender, certified: ssl.SSLContext
) -> None:
    async with RawReceiver(says(), ssl_context=certified) as receiver:
        sending = asyncio.create_task(send(trusting, receiver.url_of(NAME)))
        await receiver.wait_for_request()
        sending.cancel()
        await receiver.wait_for_end()


async def test_a_receiver_that_hangs_is_left_at_the_timeout_over_tls(
    trusting: HttpSender, certified: ssl.SSLContext
) -> None:
    async with RawReceiver(hangs, ssl_context=certified) as receiver:
        error = await failure(trusting, receiver.url_of(NAME), SHORT)
    assert error.code is ErrorCode.TIMEOUT
