"""The proxy of the experiments does to a connection what it is told, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import Loss, Proxy, proxy_before
from tests.support.receivers import LOOPBACK
from tests.support.waiting import until

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that says again what it hears, and remembers it; and its clients' connections."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = 0
        self.clients: list[asyncio.StreamWriter] = []

    async def connect(self, proxy: Proxy) -> Connection:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        self.clients.append(writer)
        return reader, writer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, LOOPBACK, 0)
    async with server, proxy_before(server.sockets[0].getsockname()[1]) as proxy:
        yield echo, proxy
        for client in echo.clients:
            client.transport.abort()


async def asked(connection: Connection, said: bytes) -> bytes:
    reader, writer = connection
    writer.write(said)
    return await reader.read(65_536)


async def test_it_passes_on_what_both_sides_say_and_when_they_end() -> None:
    async with echoing() as (echo, proxy):
        reader, writer = connection = await echo.connect(proxy)
        assert await asked(connection, b"one") == b"one"
        writer.write(b"two")
        writer.write_eof()
        assert await reader.read() == b"two"


async def test_a_connection_that_is_cut_is_reset_and_the_next_one_works() -> None:
    async with echoing() as (echo, proxy):
        connection = await echo.connect(proxy)
        await asked(connection, b"one")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await asked(connection, b"two")
        assert await asked(await echo.connect(proxy), b"three") == b"three"
        assert echo.heard == b"onethree"


async def test_while_it_refuses_nobody_connects_and_then_on_the_same_port() -> None:
    async with echoing() as (echo, proxy):
        connection = await echo.connect(proxy)
        await asked(connection, b"one")
        port = proxy.port
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await asked(connection, b"two")
        with pytest.raises(ConnectionRefusedError):
            await echo.connect(proxy)
        await proxy.accept()
        assert proxy.port == port
        assert await asked(await echo.connect(proxy), b"three") == b"three"


async def test_half_closed_the_client_hears_the_end_and_the_server_hears_the_client() -> None:
    async with echoing() as (echo, proxy):
        connection = await echo.connect(proxy)
        await asked(connection, b"one")
        proxy.half_close()
        assert await asked(connection, b"two") == b""
        await until("the server has heard it", lambda: _has(echo, b"onetwo"))
        assert echo.ended == 0


async def test_what_it_swallows_is_answered_by_nobody_and_new_connections_work_later() -> None:
    async with echoing() as (echo, proxy):
        before = await echo.connect(proxy)
        await asked(before, b"one")
        proxy.swallow()
        during = await echo.connect(proxy)
        for each in (before, during):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asked(each, b"two"), 0.05)
        proxy.pass_on()
        for each in (before, during):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asked(each, b"two"), 0.05)
            each[1].transport.abort()
        assert await asked(await echo.connect(proxy), b"three") == b"three"
        assert (echo.heard, echo.ended) == (b"onethree", 0), "nobody hears that it is closed"


async def test_a_response_that_it_loses_was_asked_for_all_the_same() -> None:
    async with echoing() as (echo, proxy):
        proxy.lose_responses_to(lambda data: b"COMMIT" in data)
        connection = await echo.connect(proxy)
        assert await asked(connection, b"one") == b"one"
        with pytest.raises(ConnectionResetError):
            await asked(connection, b"COMMIT")
        assert (echo.heard, proxy.lost) == (b"oneCOMMIT", 1)
        proxy.lose_no_responses()
        assert await asked(await echo.connect(proxy), b"COMMIT") == b"COMMIT"


async def test_instead_of_a_response_it_says_the_end_or_nothing() -> None:
    async with echoing() as (echo, proxy):
        proxy.lose_responses_to(lambda _: True, Loss.END)
        assert await asked(await echo.connect(proxy), b"one") == b""
        proxy.lose_responses_to(lambda _: True, Loss.SILENCE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asked(await echo.connect(proxy), b"two"), 0.05)
        assert echo.heard == b"onetwo"


async def test_it_holds_answers_back_and_lets_them_trickle() -> None:
    async with echoing() as (echo, proxy):
        reader, writer = await echo.connect(proxy)
        proxy.delay, proxy.rate = 0.05, 200
        began = time.monotonic()
        writer.write(b"x" * 30)
        assert await reader.readexactly(30) == b"x" * 30
        assert time.monotonic() - began >= 0.05 + 2 * 0.05, "held once, and then three pieces"


async def _has(echo: Echo, heard: bytes) -> bool:
    return echo.heard == heard
