"""Several hosts in one URI: one that is silent does not keep the next from being tried."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from notification_adapters.postgres_uri import CONNECT_SECONDS
from notification_adapters.sql.postgres import Server
from notification_adapters.sql.postgres.errors import map_errors
from notification_core.errors import StorageUnavailable
from tests.faults.proxy import Proxy, proxy_before
from tests.support.postgres_server import OwnServer, started

_BOUND = 1
_OPTIONS = f"?connect_timeout={_BOUND}"


@pytest.fixture(scope="module")
def first(own_server: OwnServer) -> OwnServer:
    """Give a server that a test may freeze."""
    return own_server


@pytest.fixture(scope="module")
def second(first: OwnServer) -> Iterator[OwnServer]:
    """Run another one, which may be taken for the first one's promoted standby."""
    with started(first.programs) as server:
        yield server


@pytest.fixture
async def before_first(first: OwnServer) -> AsyncIterator[Proxy]:
    """Put a proxy before the first one."""
    async with proxy_before(first.port) as proxy:
        yield proxy


@contextmanager
def frozen_process(server: OwnServer) -> Iterator[None]:
    """Stop the process that takes connections: the system accepts them, and nobody answers."""
    assert server.process
    pid = server.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def both(one: int, other: int, options: str = _OPTIONS) -> Server:
    return Server(f"postgresql://postgres@127.0.0.1:{one},127.0.0.1:{other}/postgres{options}")


async def port_of_next(server: Server) -> int:
    """Connect, and return the port of the server that it came to."""
    connection = await server.connect()
    try:
        found: int = await connection.fetchval("SELECT inet_server_port()")
        return found
    finally:
        await connection.close()


async def test_a_frozen_first_host_costs_its_bound_once(
    first: OwnServer, second: OwnServer
) -> None:
    server = both(first.port, second.port)
    assert await port_of_next(server) == first.port
    with frozen_process(first):
        assert await port_of_next(server) == second.port
        began = time.monotonic()
        assert await port_of_next(server) == second.port
        assert time.monotonic() - began < _BOUND, "the last good one comes first"
    assert await port_of_next(server) == second.port, "as long as it is good"


async def test_without_an_option_there_is_a_bound_for_each_host(
    first: OwnServer, second: OwnServer
) -> None:
    with frozen_process(first):
        async with asyncio.timeout(2 * CONNECT_SECONDS):
            assert await port_of_next(both(first.port, second.port, "")) == second.port


async def test_a_first_host_whose_packets_are_swallowed_is_skipped(
    before_first: Proxy, second: OwnServer
) -> None:
    server = both(before_first.port, second.port)
    before_first.swallow()
    assert await port_of_next(server) == second.port
    assert before_first.came == 1
    assert await port_of_next(server) == second.port
    assert before_first.came == 1, "it is not retried while another one answers"


async def test_a_caller_that_gives_up_before_the_bound_does_not_meet_the_same_host_again(
    before_first: Proxy, second: OwnServer
) -> None:
    server = both(before_first.port, second.port, "?connect_timeout=3600")
    before_first.swallow()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await server.connect()
    assert await port_of_next(server) == second.port


async def test_of_several_hosts_one_that_takes_no_writes_is_skipped(
    first: OwnServer, second: OwnServer
) -> None:
    await first.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    await first.execute("SELECT pg_reload_conf()")
    try:
        assert await port_of_next(both(first.port, second.port)) == second.port
        assert await port_of_next(both(first.port, second.port, "?target_session_attrs=any")) == (
            first.port
        )
    finally:
        await first.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await first.execute("SELECT pg_reload_conf()")


async def test_hosts_that_are_all_gone_are_said_to_be(before_first: Proxy) -> None:
    before_first.refuse()
    with pytest.raises(StorageUnavailable, match="cannot be reached"), map_errors():
        await both(before_first.port, before_first.port).connect()
