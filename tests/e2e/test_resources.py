"""A process that is short of file descriptors blames no receiver, and says what it lacks."""

import asyncio
import json
import re
import resource
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from tests.faults.stage import Api, Up, event_named, served_by
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.waiting import until

# The native one is the default; both are held to the same contract.
SENDERS = ("native", pytest.param("aiohttp", marks=pytest.mark.long))


@pytest.fixture(autouse=True)
def enough_open_files() -> Iterator[None]:
    """Let the test itself open more than the process that it tries."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def ready(up: Up) -> tuple[int, str]:
    url = f"http://{LOOPBACK}:{up.ports[1]}/readyz"
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.request("GET", url, timeout=timeout) as response:
        return response.status, await response.text()


async def is_ready(up: Up) -> bool:
    return (await ready(up))[0] == HTTPStatus.OK


async def outcomes(api: Api, webhook_id: str) -> Sequence[object]:
    return [
        one["outcome"] for one in await api.call_for_list(f"webhooks/{webhook_id}/logs?limit=100")
    ]


@asynccontextmanager
async def idle_connections(port: int, count: int) -> AsyncIterator[Sequence[asyncio.StreamReader]]:
    """Have connections on which a request was answered, and no more comes."""
    request = f"GET /api/webhooks/events HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\n\r\n".encode()
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            stack.callback(writer.close)
            writer.write(request)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            readers.append(reader)
        yield readers


@pytest.mark.parametrize("sender", SENDERS)
async def test_idle_connections_to_the_api_cost_no_delivery(tmp_path: Path, sender: str) -> None:
    up = Up(tmp_path, {"WEBHOOKS_SENDER": sender}, open_files=1024)
    async with (
        Receiver() as receiver,
        served_by(up) as api,
        idle_connections(up.ports[0], 1_100),
    ):
        webhook_id = await api.subscribe(receiver.url)
        await api.publish(*[f"event-{number}" for number in range(50)])
        await receiver.wait_for(50)
        await until("all is written", up.is_done)
        assert await outcomes(api, webhook_id) == ["succeeded"] * 50
        assert await is_ready(up)


async def test_idle_connections_make_room(tmp_path: Path) -> None:
    up = Up(tmp_path, {"API_SERVER_MAX_CONNECTIONS": "20"})
    async with served_by(up) as api, idle_connections(up.ports[0], 40) as readers:
        assert await is_ready(up)
        await api.publish("event")

        async def the_first_ones_are_closed() -> bool:
            return all(reader.at_eof() for reader in readers[:20])

        for reader in readers[:20]:
            await reader.read()
        await until("room was made", the_first_ones_are_closed)
        assert not any(reader.at_eof() for reader in readers[-15:])


async def test_a_connection_is_refused_in_words_if_none_is_idle(tmp_path: Path) -> None:
    up = Up(tmp_path, {"API_SERVER_MAX_CONNECTIONS": "2"})
    head = (
        f"POST /api/environments/0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10/events HTTP/1.1\r\n"
        f"Host: {LOOPBACK}\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n"
    ).encode()
    await up.start()
    try:
        async with AsyncExitStack() as stack:
            for _ in range(2):
                _, writer = await asyncio.open_connection(LOOPBACK, up.ports[0])
                stack.callback(writer.close)
                writer.write(head)
            # What is said to a connection shows that those before it were taken.
            refused = b""
            while b" 503 " not in refused:
                reader, writer = await asyncio.open_connection(LOOPBACK, up.ports[0])
                stack.callback(writer.close)
                refused = await reader.read()
            head, _, body = refused.partition(b"\r\n\r\n")
            assert b"Retry-After: " in head
            assert json.loads(body)["error_code"] == 1907
            assert await is_ready(up)
    finally:
        await up.close()


async def test_many_publishers_that_keep_their_connections_cost_no_delivery(tmp_path: Path) -> None:
    up = Up(tmp_path, open_files=1024)
    async with Receiver() as receiver, served_by(up) as api, AsyncExitStack() as stack:
        webhook_id = await api.subscribe(receiver.url)
        publishers = []
        for _ in range(700):
            session = await stack.enter_async_context(aiohttp.ClientSession())
            publishers.append(Api(session, api.base, api.environment))

        async def publish(publisher: Api, event_id: str) -> None:
            async def is_accepted() -> bool:
                try:
                    status = await publisher.try_to_publish([event_named(event_id)])
                except aiohttp.ClientError:
                    return False
                return status == HTTPStatus.ACCEPTED

            await until("an event is accepted", is_accepted)

        await asyncio.gather(
            *[publish(each, f"event-{number}") for number, each in enumerate(publishers)]
        )
        await until("all is written", up.is_done)
        assert len(receiver.requests) == 700
        assert set(await outcomes(api, webhook_id)) == {"succeeded"}
        stored = await up.metric("notification_deliveries_failed_total")
        assert stored == 0


@pytest.mark.parametrize("sender", SENDERS)
async def test_slow_receivers_that_take_all_descriptors_cost_healthy_ones_no_delivery(
    tmp_path: Path, sender: str
) -> None:
    settings = {"WEBHOOKS_SENDER": sender, "WEBHOOKS_WRITE_TIMEOUT": "5s"}
    up = Up(tmp_path, settings, open_files=128)
    async with AsyncExitStack() as stack:
        healthy = await stack.enter_async_context(Receiver())
        slow = [await stack.enter_async_context(Receiver("hang")) for _ in range(4)]
        api = await stack.enter_async_context(served_by(up))
        assert "open_files_limit_too_low" in up.said()
        for receiver in slow:
            await api.subscribe(receiver.url)
        await api.publish(*[f"slow-{number}" for number in range(50)])
        webhook_id = await api.subscribe(healthy.url)
        named = asyncio.create_task(until("/readyz names what is short", lambda: _is_named(up)))
        await api.publish(*[f"event-{number}" for number in range(50)])
        await healthy.wait_for(50)
        await named
        for receiver in slow:
            receiver.release()

        async def is_over() -> bool:
            return not await _is_named(up)

        await until("nothing is short any more", is_over)
        await until("all is written", up.is_done)
        log = await api.call_for_list(f"webhooks/{webhook_id}/logs?limit=100")
        assert [(one["outcome"], one["attempt"]) for one in log] == [("succeeded", 1)] * 50
        metrics = await up.metrics()
        short = re.search(r'resource_exhausted_total{resource="descriptors"} (\S+)', metrics)
        assert short
        assert float(short[1]) > 0
        assert "resource_exhausted" in up.said()
        assert "ulimit -n" in up.said()


async def _is_named(up: Up) -> bool:
    return "File descriptors are exhausted" in (await ready(up))[1]


async def test_the_soft_limit_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    up = Up(tmp_path)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    async with served_by(up):
        assert up.process
        assert resource.prlimit(up.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    assert "open_files_limit_too_low" not in up.said()
