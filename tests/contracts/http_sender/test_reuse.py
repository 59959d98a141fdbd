"""A kept connection is reused only if nothing else can have come on it, and by its own tenant."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from notification_core.ports.sender import HttpSender
from tests.support.raw_receivers import NO_CONTENT, RawReceiver, says
from tests.support.sending import send

STRAY = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("milliseconds", [1, 5, 20])
async def test_a_second_response_is_not_taken_for_the_next_one_while_the_loop_is_busy(
    sender: HttpSender, milliseconds: int
) -> None:
    with threaded_receiver(milliseconds / 1000, STRAY) as (url, said):
        for _ in range(30):
            assert (await send(sender, url)).http_code == 204
            assert said.wait(10)  # this blocks the loop
            said.clear()


async def test_a_close_is_seen_before_the_next_request_while_the_loop_is_busy(
    sender: HttpSender,
) -> None:
    with threaded_receiver(0.001, b"") as (url, closed):
        for _ in range(30):
            assert (await send(sender, url)).http_code == 204
            assert closed.wait(10)  # this blocks the loop
            closed.clear()


@contextmanager
def threaded_receiver(seconds: float, stray: bytes) -> Iterator[tuple[str, threading.Event]]:
    """Respond from threads, so that a busy loop delays nothing.

    So many seconds after each response something ``stray`` follows, or if that is empty the end of
    the connection; then the event is set.
    """
    listener, said = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def respond(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while connection.recv(65536):
                connection.sendall(NO_CONTENT)
                time.sleep(seconds)
                connection.sendall(stray)
                if not stray:
                    connection.shutdown(socket.SHUT_RDWR)
                said.set()

    def accept() -> None:
        with suppress(OSError), ThreadPoolExecutor(100) as connections:
            while True:
                connections.submit(respond, listener.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", said
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


async def test_connections_are_not_shared_between_environments(sender: HttpSender) -> None:
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        for pool_key in ("one", "another", "one", "another"):
            await send(sender, receiver.url, pool_key=pool_key)
        assert (len(receiver.requests), receiver.connections) == (4, 2)


async def test_a_request_without_a_key_has_a_connection_of_its_own(sender: HttpSender) -> None:
    async with RawReceiver(says(NO_CONTENT)) as receiver:
        for pool_key in ("one", None, None, "one"):
            await send(sender, receiver.url, pool_key=pool_key)
        assert (len(receiver.requests), receiver.connections) == (4, 3)
