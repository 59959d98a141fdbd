"""What is special to the native sender: its connections, from the first to the last."""

import asyncio
import socket
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from notification_adapters.http.destination_guard import system_trust
from notification_adapters.http.native import NativeSender, pool
from notification_core.model.webhook import Method
from notification_core.ports.sender import HttpRequest, Phase, SendingFailed
from tests.support.certificates import Authority
from tests.support.raw_receivers import (
    NO_CONTENT,
    Act,
    RawReceiver,
    closes,
    hangs,
    says,
    says_for_ever,
)
from tests.support.receivers import Receiver
from tests.support.sending import (
    CHUNKED,
    ENOUGH,
    LOOPBACK_OPEN,
    OK,
    SHORT,
    Names,
    SilentNames,
    failure,
    send,
)


@pytest.fixture
async def sender() -> AsyncIterator[NativeSender]:
    sender = NativeSender(LOOPBACK_OPEN, names=Names(["127.0.0.1"]))
    yield sender
    await sender.close()


# Connections that the receiver closes


async def test_a_receiver_that_closes_with_its_response_and_does_not_say_so_loses_nothing(
    sender: NativeSender,
) -> None:
    async with RawReceiver(closes(NO_CONTENT)) as receiver:
        for _ in range(20):
            assert (await send(sender, receiver.url)).http_code == 204
        assert len(receiver.requests) == receiver.connections == 20


async def test_a_close_that_the_loop_had_no_time_to_see_is_seen_before_the_next_request(
    sender: NativeSender,
) -> None:
    with closing_receiver() as (url, closed):
        for _ in range(3):
            assert (await send(sender, url)).http_code == 204
            assert closed.wait(10)  # and blocks the loop meanwhile
            closed.clear()


@contextmanager
def closing_receiver() -> Iterator[tuple[str, threading.Event]]:
    """Answer one request a connection in a thread, and close it a moment later."""
    listener, closed = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.sendall(NO_CONTENT)
                time.sleep(0.05)  # until the response has certainly been read, and nothing more
                connection.close()
                closed.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", closed
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


# Bounds


async def test_all_that_one_origin_had_in_flight_at_once_is_used_again(
    sender: NativeSender,
) -> None:
    at_once = 200
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        for _ in range(2):
            await asyncio.gather(*(send(sender, receiver.url) for _ in range(at_once)))
        assert receiver.connections == at_once


async def test_the_oldest_of_too_many_idle_connections_makes_room(
    sender: NativeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MAX_IDLE", 3)
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        urls = [receiver.url_of(f"{name}.example") for name in "abcd"]
        for url in (*urls, *reversed(urls)):
            await send(sender, url)
        # Those of d, c and b were there still; then a's was opened again.
        assert receiver.connections == 5


async def test_a_flood_of_interim_responses_is_not_read_to_its_end(sender: NativeSender) -> None:
    said = 0

    async def flood(connection: asyncio.StreamWriter) -> None:
        nonlocal said
        while True:
            connection.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
            await connection.drain()
            said += 1000 * 28

    async with RawReceiver(flood) as receiver:
        sending = asyncio.create_task(failure(sender, receiver.url, 3 * SHORT))
        await asyncio.sleep(SHORT.total_seconds())
        held_back = said
        await sending
    assert said == held_back > 0


@pytest.mark.parametrize(
    "act",
    [
        says_for_ever(b"a" * 4096, begin=CHUNKED + b"3;"),
        says_for_ever(b"1\r\nx\r\n" * 100, begin=CHUNKED),
        says_for_ever(b"X: a\r\n" * 100, begin=CHUNKED + b"3\r\nabc\r\n0\r\n"),
    ],
    ids=["an endless chunk extension", "tiny chunks", "endless trailers"],
)
async def test_framing_that_does_not_end_is_left_at_its_limit(
    sender: NativeSender, act: Act
) -> None:
    async with RawReceiver(act) as receiver:
        began = time.monotonic()
        response = await send(sender, receiver.url)
        await receiver.wait_for_end()
    assert response.truncated
    assert time.monotonic() - began < ENOUGH.total_seconds() / 2


async def test_a_large_body_waits_in_one_place(sender: NativeSender) -> None:
    body = bytes(16 * 2**20)
    async with RawReceiver(deaf=True) as receiver:
        tracemalloc.start()
        request = HttpRequest(Method.POST, receiver.url, (), body)
        with pytest.raises(SendingFailed):
            await sender.send(request, SHORT)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < len(body) / 8


# Time


async def test_each_request_ends_at_its_own_time(sender: NativeSender) -> None:
    async def took(url: str, seconds: float) -> float:
        began = time.monotonic()
        await failure(sender, url, timedelta(seconds=seconds))
        return time.monotonic() - began

    limits = (1.5, 0.1, 0.8, 0.1)
    async with RawReceiver(*[says(NO_CONTENT)] * len(limits), hangs) as receiver:
        await asyncio.gather(*(send(sender, receiver.url) for _ in limits))
        times = await asyncio.gather(*(took(receiver.url, limit) for limit in limits))
        assert receiver.connections == len(limits)
    for limit, time_taken in zip(limits, times, strict=True):
        assert limit - 0.01 <= time_taken < limit + 0.6


# What its time goes into


async def test_the_phases_of_a_new_connection_are_told_and_of_a_known_one_the_response(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    told: list[Phase] = []

    def took(phase: Phase, seconds: float) -> None:
        assert 0 <= seconds < ENOUGH.total_seconds()
        told.append(phase)

    sender = NativeSender(
        LOOPBACK_OPEN,
        names=Names(["127.0.0.1"]),
        ssl_context=authority.trusted_by(system_trust()),
        on_phase=took,
    )
    server = authority.server("receiver.example")
    async with RawReceiver(says(NO_CONTENT), ssl_context=server) as receiver:
        for _ in range(2):
            await send(sender, receiver.url_of("receiver.example"))
    await sender.close()
    assert told == [*Phase, Phase.FIRST_BYTE]


async def test_how_long_a_receiver_takes_to_answer_is_told() -> None:
    told: dict[Phase, float] = {}
    sender = NativeSender(LOOPBACK_OPEN, on_phase=told.__setitem__)
    async with Receiver(_slowly) as receiver:
        await send(sender, receiver.url)
    await sender.close()
    assert told.keys() == {Phase.CONNECT, Phase.FIRST_BYTE}
    assert told[Phase.FIRST_BYTE] >= SHORT.total_seconds()


async def _slowly(_: object) -> int:
    await asyncio.sleep(SHORT.total_seconds())
    return 200


# Nothing is left


def descriptors() -> set[str]:
    return {path.name for path in Path("/dev/fd").iterdir()}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "act",
    [hangs, says(OK + b"Content-Length: 9\r\n\r\nabc"), says(NO_CONTENT), closes()],
    ids=["unanswered", "during the body", "answered", "closed"],
)
async def test_no_descriptor_is_left_whenever_a_request_is_cancelled(
    tmp_path: Path, act: Act, *, tls: bool
) -> None:
    authority = Authority(tmp_path)
    server = authority.server("receiver.example") if tls else None
    trusting = authority.trusted_by(system_trust())
    sender = NativeSender(LOOPBACK_OPEN, names=Names(["127.0.0.1"]), ssl_context=trusting)
    before = descriptors()
    async with RawReceiver(act, ssl_context=server) as receiver:
        for step in range(60):
            sending = asyncio.create_task(send(sender, receiver.url_of("receiver.example")))
            for _ in range(step):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        await sender.close()
    await until_closed(before)


@pytest.mark.parametrize("url", ["http://receiver.example/", "https://127.0.0.1:{port}/"])
async def test_no_descriptor_is_left_where_no_connection_came_about(url: str) -> None:
    sender = NativeSender(LOOPBACK_OPEN, names=SilentNames(["127.0.0.1"]))
    before = descriptors()
    async with RawReceiver(deaf=True) as receiver:
        await failure(sender, url.format(port=receiver.port), SHORT)
        await sender.close()
    await until_closed(before)


async def until_closed(before: set[str]) -> None:
    for _ in range(200):
        if len(descriptors()) <= len(before):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"left open: {descriptors() - before}")


async def test_a_sender_that_never_sent_can_be_closed() -> None:
    await NativeSender(LOOPBACK_OPEN).close()


async def test_what_is_sent_while_others_are_cancelled_is_answered(sender: NativeSender) -> None:
    async with RawReceiver(says(NO_CONTENT)) as receiver:

        async def send_or_be_cancelled(number: int) -> int | None:
            sending = asyncio.create_task(send(sender, receiver.url, ENOUGH))
            if number % 2:
                return (await sending).http_code
            for _ in range(number % 14):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            return None

        for _ in range(10):
            codes = await asyncio.gather(*(send_or_be_cancelled(number) for number in range(40)))
            assert codes == [None, 204] * 20
