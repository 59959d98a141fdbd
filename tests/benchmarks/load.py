"""The two loads that are compared, each a process of its own that prints what it measured.

``python load.py raw URL COUNT``: the bare aiohttp client, 64 requests in flight.
``python load.py publish API_URL ENVIRONMENT COUNT BATCH``: publishes events in batches over
8 connections.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Iterator

import aiohttp
import uvloop

_IN_FLIGHT = 64
_CONNECTIONS = 8
_PADDING = "x" * 800


def event(number: int) -> dict[str, object]:
    """Return an event whose request body is about 1 KB."""
    data = {"pipeline_id": str(uuid.UUID(int=number)), "number": number, "note": _PADDING}
    return {"event_id": str(uuid.uuid4()), "event": "pipeline-created", "data": data}


async def raw(url: str, count: int) -> None:
    """Send ``count`` POSTs of 1 KB as fast as the client can."""
    body = json.dumps(event(1), separators=(",", ":")).encode().ljust(1024, b" ")
    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def chain(todo: Iterator[int]) -> None:
            for _ in todo:
                async with session.post(url, data=body) as response:
                    await response.read()

        await asyncio.gather(*(chain(numbers) for _ in range(_IN_FLIGHT)))


async def publish(api_url: str, environment: str, count: int, batch: int) -> None:
    """Publish ``count`` events in batches; every answer must be 202."""
    batches = iter(
        [
            json.dumps([event(n) for n in range(size)], separators=(",", ":")).encode()
            for size in [batch] * (count // batch)
        ]
    )
    url = f"{api_url}/environments/{environment}/events"
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def chain(todo: Iterator[bytes]) -> None:
            for body in todo:
                async with session.post(url, data=body) as response:
                    if response.status != 202:
                        raise SystemExit(f"{response.status}: {await response.text()}")
                    await response.read()

        print(json.dumps({"started_at": time.time()}), flush=True)
        await asyncio.gather(*(chain(batches) for _ in range(_CONNECTIONS)))


async def main(arguments: list[str]) -> None:
    """Run one load and print its seconds and CPU seconds."""
    cpu, began = time.process_time(), time.perf_counter()
    match arguments:
        case ["raw", url, count]:
            await raw(url, int(count))
        case ["publish", api_url, environment, count, batch]:
            await publish(api_url, environment, int(count), int(batch))
        case _:
            raise SystemExit(__doc__)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
