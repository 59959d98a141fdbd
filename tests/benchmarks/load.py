"""The loads that are compared, each a process of its own that prints what it measured.

* ``raw URL COUNT SIZE``: the bare aiohttp client, 64 requests in flight.
* ``send SENDER URL COUNT SIZE``: one of our senders alone, with the headers of a delivery.
* ``publish API ENVIRONMENT COUNT BATCH CONNECTIONS SIZE``: events over HTTP, in batches or alone.
* ``call METHOD URL COUNT CONNECTIONS BODY``: one request over and over; ``NEW-ID`` in the URL
  stands for another UUID each time.
* ``paced-raw URL RATE COUNT`` and ``paced-publish API ENVIRONMENT RATE COUNT``: one request at a
  time of the clock, whose body says when it was sent.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_network
from statistics import quantiles
from typing import Any

import aiohttp
import uvloop

from notification_adapters.http.aiohttp import AiohttpSender
from notification_adapters.http.native import NativeSender
from notification_core.model.destinations import DestinationPolicy
from notification_core.model.webhook import Method
from notification_core.ports.sender import HttpRequest, HttpSender

TYPE = "pipeline-created"
NEW_ID = "NEW-ID"

SENDERS: Mapping[str, Callable[[DestinationPolicy], HttpSender]] = {
    "aiohttp": AiohttpSender,
    "native": NativeSender,
}

_IN_FLIGHT = 64
_HEADERS = (
    ("Content-Type", "application/json"),
    ("User-Agent", "notification-management/1.0.0"),
    ("X-3dverse-Signature", "0123456789abcdef" * 8),
    ("X-3dverse-Signature-Timestamp", "1800000000"),
    ("X-3dverse-Signature-Key-Id", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"),
    ("webhook-id", "msg_01990000-0000-7000-8000-000000000000"),
    ("webhook-timestamp", "1800000000"),
    ("webhook-signature", "v1a," + "0123456789abcdef" * 5 + "01234567"),
    ("webhook-attempt", "1"),
)
"""What a delivery has; one more header is each request's own."""

_DATA = {"name": "assembly-hall.ifc", "source": "upload/assembly-hall.ifc"}
"""What its schema requires: an event that does not fit returns warnings, which cost."""

_ENVELOPE = 310
"""About how much of a request's body is not padding."""


def event(number: int, size: int, keys: int = 0) -> dict[str, Any]:
    """Return an event whose request body has about ``size`` bytes, with one of so many keys."""
    padding = "x" * max(0, size - _ENVELOPE)
    data = {"pipeline_id": str(uuid.UUID(int=number)), **_DATA, "note": padding}
    key = {"ordering_key": str(number % keys)} if keys else {}
    return {"event_id": str(uuid.uuid4()), "event": TYPE, **key, "data": data}


async def raw(url: str, count: int, size: int) -> None:
    """Send ``count`` POSTs as fast as the client can."""
    body = json.dumps(event(1, size), separators=(",", ":")).encode().ljust(size, b" ")
    connector = aiohttp.TCPConnector(limit=0, ssl=False)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send(_: int) -> None:
            async with session.post(url, data=body) as response:
                await response.read()

        await _chained(range(count), send, _IN_FLIGHT)


async def sent(name: str, url: str, count: int, size: int) -> Coroutine[None, None, None]:
    """Warm a sender up, and return what sends ``count`` requests with it."""
    sender = SENDERS[name](DestinationPolicy(allowed_networks=(ip_network("127.0.0.0/8"),)))
    body = json.dumps(event(1, size), separators=(",", ":")).encode().ljust(size, b" ")
    timeout = timedelta(seconds=10)

    async def send(number: int) -> None:
        headers = (*_HEADERS, ("webhook-delivery", f"01990000-0000-7000-8000-{number:012}"))
        response = await sender.send(
            HttpRequest(Method.POST, url, headers, body, pool_key="load"), timeout
        )
        assert response.http_code == 204

    async def send_all() -> None:
        await _chained(range(count), send, _IN_FLIGHT)
        await sender.close()

    await _chained(range(1000), send, _IN_FLIGHT)
    return send_all()


async def publish(  # noqa: PLR0913, PLR0917 - what the command line says
    api: str, environment: str, count: int, batch: int, connections: int, size: int, keys: int = 0
) -> None:
    """Publish ``count`` events over so many connections; every response must be 202."""
    firsts = range(0, count // batch * batch, batch)
    bodies = [_batch(first, batch, size, keys) for first in firsts]
    url = f"{api}/environments/{environment}/events"
    connector = aiohttp.TCPConnector(limit=connections)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send(number: int) -> None:
            async with session.post(url, data=bodies[number]) as response:
                if response.status != 202:
                    raise SystemExit(f"{response.status}: {await response.text()}")
                await response.read()

        print(json.dumps({"started_at": time.time()}), flush=True)
        await _chained(range(len(bodies)), send, connections)


def _batch(first: int, batch: int, size: int, keys: int) -> bytes:
    events = [event(number, size, keys) for number in range(first, first + batch)]
    return json.dumps(events if batch > 1 else events[0], separators=(",", ":")).encode()


async def call(method: str, url: str, count: int, connections: int, body: str) -> None:
    """Make the same request ``count`` times over so many connections; all must go well.

    Prints what 99 in 100 of them took at most.
    """
    connector = aiohttp.TCPConnector(limit=connections)
    headers = {"Content-Type": "application/json"} if body else {}
    data = body.encode() or None
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send(_: int) -> None:
            place = url.replace(NEW_ID, str(uuid.uuid4()))
            began = time.perf_counter()
            async with session.request(method, place, data=data) as response:
                response.raise_for_status()
                await response.read()
            times.append(time.perf_counter() - began)

        times: list[float] = []
        await _chained(range(count), send, connections)
    print(json.dumps({"p99": quantiles(times, n=100)[98]}))


async def _chained(numbers: range, send: Callable[[int], Awaitable[None]], in_flight: int) -> None:
    """Send all, so many at a time."""
    todo = iter(numbers)

    async def chain(shared: Iterator[int]) -> None:
        for number in shared:
            await send(number)

    await asyncio.gather(*(chain(todo) for _ in range(in_flight)))


async def paced_raw(url: str, rate: float, count: int) -> None:
    """POST straight to a receiver, at a rate."""
    async with aiohttp.ClientSession() as session:

        async def send() -> None:
            body = {"id": str(uuid.uuid4()), "data": {"sent_at": time.time(), "note": "x" * 700}}
            async with session.post(url, json=body) as response:
                await response.read()

        await _paced(rate, count, send)


async def paced_publish(api: str, environment: str, rate: float, count: int) -> None:
    """Publish one event a request, at a rate."""
    url = f"{api}/environments/{environment}/events"
    async with aiohttp.ClientSession() as session:

        async def send() -> None:
            body = event(0, 950)
            body["data"]["sent_at"] = time.time()
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                await response.read()

        await _paced(rate, count, send)


async def _paced(rate: float, count: int, send: Callable[[], Coroutine[None, None, None]]) -> None:
    """Start one each time the clock says so, whether the ones before have ended or not."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    tasks: list[asyncio.Task[None]] = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
        tasks.append(asyncio.create_task(send()))
    await asyncio.gather(*tasks)


async def work(arguments: list[str]) -> Coroutine[None, None, None]:
    """Return what is to be measured, with everything set up for it."""
    match arguments:
        case ["raw", url, count, size]:
            return raw(url, int(count), int(size))
        case ["send", name, url, count, size]:
            return await sent(name, url, int(count), int(size))
        case ["publish", api, environment, *numbers]:
            return publish(api, environment, *map(int, numbers))
        case ["call", method, url, count, connections, body]:
            return call(method, url, int(count), int(connections), body)
        case ["paced-raw", url, rate, count]:
            return paced_raw(url, float(rate), int(count))
        case ["paced-publish", api, environment, rate, count]:
            return paced_publish(api, environment, float(rate), int(count))
        case _:
            raise SystemExit(__doc__)


async def main(arguments: list[str]) -> None:
    """Run one load and print what it measured."""
    await timed(await work(arguments))


async def timed(prepared: Coroutine[None, None, None]) -> None:
    """Run what is prepared, and print its seconds and CPU seconds."""
    cpu, began = time.process_time(), time.perf_counter()
    await prepared
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
