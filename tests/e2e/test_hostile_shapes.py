"""Hostile shapes for every operation: their cost is linear, and others are served meanwhile.

The CPU time is the server's own, from ``/proc``. Each shape comes in two sizes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from math import inf
from pathlib import Path
from statistics import quantiles

import aiohttp
import pytest
from attrs import frozen

from tests.entrypoints.checked_api import operations
from tests.entrypoints.example_data import IDS
from tests.faults.stage import Api, Up, running

pytestmark = pytest.mark.timeout(300)

KIB, MIB = 1024, 1024**2
ROUNDS = 10
"""The least CPU time of so many: a busy machine only adds to it."""

TIMES_THE_SIZE = 4
ALLOWED_GROWTH = 8
"""Linear work grows by 4 at 4 times the size, and by more where caches overflow or the collector
of garbage runs once more: at double size that has been 2.7. Quadratic work grows by 16."""
NOISE_SECONDS = 0.02
"""Below this a request costs so little that the rest of the process decides what is measured."""

HEALTHY_WITHIN = 0.25
PATIENT = aiohttp.ClientTimeout(total=100)

Shape = Callable[[int], bytes]


def repeated(before: bytes, part: bytes, after: bytes) -> Shape:
    """Return the shape of one part again and again."""
    return lambda size: before + part * (size // len(part)) + after


def names(size: int) -> bytes:
    """Return fields of different names, without their brackets."""
    return b",".join(b'"%08d":1' % number for number in range(size // 13))


def nested(size: int) -> bytes:
    return b'{"events":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}"


def nested_objects(size: int) -> bytes:
    return b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6)


def event(data: Shape) -> Shape:
    return lambda size: b'{"event":"job-created","data":' + data(size) + b"}"


def batch(element: bytes) -> Shape:
    return repeated(b"[", element + b",", b'{"event":"job-created","data":{}}]')


BODIES: Mapping[str, Shape] = {
    "many names": lambda size: b"{" + names(size) + b"}",
    "many names, the last one twice": lambda size: b'{%s,"z":1,"z":1}' % names(size),
    "one name repeated": repeated(b"{", b'"a":1,', b'"a":1}'),
    "a long list": repeated(b'{"events":[', b'"a",', b'"a"]}'),
    "a long list of objects": repeated(b'{"events":[', b"{},", b"{}]}"),
    "an array": repeated(b"[", b"0,", b"0]"),
    "nested arrays": nested,
    "nested objects": nested_objects,
    "nested, never closed": repeated(b"", b"[", b""),
    "a long string": repeated(b'{"name":"', b"x", b'"}'),
    "a long url": repeated(b'{"url":"http://', b"a.", b'example.com/"}'),
    "escapes": repeated(b'{"name":"', b"\\u0041", b'"}'),
    "backslashes, never closed": repeated(b'{"name":"', b"\\\\", b""),
    "a long number": repeated(b'{"name":', b"9", b"}"),
    "spaces": repeated(b"{", b" ", b"}"),
}
EVENTS: Mapping[str, Shape] = {
    "data of many names": event(lambda size: b"{" + names(size) + b"}"),
    "data of many arrays": event(repeated(b"[", b"[],", b"0]")),
    "data of nested arrays": event(repeated(b"[", b"[" * 50 + b"]" * 50 + b",", b"0]")),
    "data with spaces": event(repeated(b"[", b"1 , ", b"1]")),
    "data of long numbers": event(repeated(b"[", b"1" * 4000 + b",", b"1]")),
}
LARGE_DATA = repeated(b"[", b"[],", b"0]")(15 * KIB)
BATCHES: Mapping[str, Shape] = {
    "a batch of large events": batch(b'{"event":"job-created","data":' + LARGE_DATA + b"}"),
    "a batch of large wrong events": batch(b'{"event":"x",' + names(200 * KIB) + b"}"),
    "a batch of very many": batch(b"0"),
}
HEADERS: Mapping[str, Callable[[int], Mapping[str, str]]] = {
    "parameters of Content-Type": lambda size: {"Content-Type": "application/json" + ";" * size},
    "parameters of Accept": lambda size: {"Accept": "a/b" + ";q=1" * (size // 4)},
    "types of Accept": lambda size: {"Accept": "a/b," * (size // 4)},
    "codings": lambda size: {"Accept-Encoding": "gzip;q=0.1," * (size // 11)},
    "entity tags": lambda size: {
        "If-Match": '"1",' * (size // 4),
        "If-None-Match": "W/" * (size // 2),
    },
    "a long key": lambda size: {"Idempotency-Key": "k" * size},
    "a long request id": lambda size: {"X-Request-Id": "r" * size},
    "a long credential": lambda size: {"Authorization": "Bearer " + "a." * (size // 2)},
    "addresses": lambda size: {
        "X-Forwarded-For": "1," * (size // 2),
        "Forwarded": "for=_;" * (size // 6),
    },
    "many headers": lambda size: {f"X-{number}": "v" for number in range(size // 100)},
    "a long origin": lambda size: {"Origin": "http://" + "a." * (size // 2)},
    "cookies": lambda size: {"Cookie": "a=b;" * (size // 4)},
}
QUERIES: Mapping[str, Callable[[int], str]] = {
    "many parameters": lambda size: "&".join(f"p{number}=1" for number in range(size // 8)),
    "one parameter repeated": lambda size: "limit=1&" * (size // 8),
    "a long cursor": lambda size: "cursor=" + "A" * size,
    "a long number": lambda size: "limit=" + "0" * size,
    "escapes": lambda size: "since=" + "%2B" * (size // 3),
}


@frozen
class Request:
    """A hostile request of an operation: what is in it grows with its size, of 1 at most."""

    name: str
    method: str
    path: str
    body: Callable[[float], bytes | None] = lambda _: None
    headers: Callable[[float], Mapping[str, str]] = lambda _: {}
    query: Callable[[float], str] = lambda _: ""


def requests() -> Iterator[Request]:
    """Yield every shape for every operation."""
    for name, (method, template) in operations().items():
        path = template
        for parameter, value in IDS.items():
            path = path.replace(f"{{{parameter}}}", value)
        has_body = method in {"POST", "PUT", "PATCH"}
        if has_body:
            yield from bodies(name, method, path)
        plain = {"Content-Type": "application/json"} if has_body else {}
        for shape, headers in HEADERS.items():
            yield Request(
                f"{name}: {shape}",
                method,
                path,
                body=lambda _: b"{}",
                headers=partial(_sent, plain, headers),
            )
        for shape, query in QUERIES.items():
            asked = partial(_asked, query)
            yield Request(f"{name}: {shape}", method, path, query=asked)


def _sent(
    plain: Mapping[str, str], headers: Callable[[int], Mapping[str, str]], size: float
) -> Mapping[str, str]:
    return {**plain, **headers(int(7 * KIB * size))}


def _sized(made: Shape, most: int, size: float) -> bytes:
    return made(int(most * size))


def _asked(query: Callable[[int], str], size: float) -> str:
    return f"?{query(int(7 * KIB * size))}"


def bodies(name: str, method: str, path: str) -> Iterator[Request]:
    """Yield what is hostile in a body, as large as it may be."""
    shapes = [(each, made, 120 * KIB) for each, made in BODIES.items()]
    if path.endswith("/events"):
        alone = [(each, made, 900 * KIB) for each, made in {**BODIES, **EVENTS}.items()]
        shapes = alone + [(each, made, 15 * MIB) for each, made in BATCHES.items()]
    for shape, made, most in shapes:
        yield Request(
            f"{name}: {shape}",
            method,
            path,
            body=partial(_sized, made, most),
            headers=lambda _: {"Content-Type": "application/json"},
        )


def cpu_seconds(up: Up) -> float:
    """Return the CPU time that the server has used, of all its threads."""
    assert up.process
    tasks = Path(f"/proc/{up.process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


async def cost(up: Up, api: Api, request: Request, size: float) -> float:
    """Send a request, which must not be a 500; return the CPU time that it took the server."""
    url = f"{api.base}{request.path}{request.query(size)}"
    headers, made = request.headers(size), request.body(size)
    body = None if made is None else BytesIO(made)
    before = cpu_seconds(up)
    async with api.session.request(
        request.method, url, data=body, headers=headers, timeout=PATIENT
    ) as response:
        text = await response.text()
        assert response.status not in {500, 503}, f"{request.name}: {response.status} {text}"
    return cpu_seconds(up) - before


async def least_growth(up: Up, api: Api, request: Request) -> float:
    """Return how many times the CPU time of a request is at 4 times the size, at least.

    It is measured again while it is too large: a busy machine adds to it. No two requests are the
    same, so that none is answered from a cache.
    """
    cheap = dear = inf
    for number in range(ROUNDS):
        size = 1 - number / 100
        cheap = min(cheap, await cost(up, api, request, size / TIMES_THE_SIZE))
        dear = min(dear, await cost(up, api, request, size))
        if dear < NOISE_SECONDS or dear <= ALLOWED_GROWTH * cheap:
            return 1
    return dear / cheap


@asynccontextmanager
async def probed(up: Up) -> AsyncIterator[list[float]]:
    """Ask again and again whether the process is alive; gives how long each response took.

    That is the CPU time that the server spent meanwhile: on a machine of its own a caller waits as
    long, and on a busy one the clock would measure its other work.
    """
    took: list[float] = []

    async def probe() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                before = cpu_seconds(up)
                async with session.get(f"http://127.0.0.1:{up.ports[1]}/healthz") as response:
                    assert response.status == 200
                took.append(cpu_seconds(up) - before)
                await asyncio.sleep(0.005)

    probing = asyncio.create_task(probe())
    try:
        yield took
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)


async def test_nobody_waits_for_all_large_events_that_are_published_at_once(
    tmp_path: Path,
) -> None:
    shape = "data of nested arrays"
    large = next(each for each in requests() if each.name == f"publishEvents: {shape}")
    async with running(tmp_path) as (up, api), probed(up) as took:
        before = cpu_seconds(up)
        await asyncio.gather(*(cost(up, api, large, 1 - number / 100) for number in range(8)))
        spent = cpu_seconds(up) - before
    assert max(took) < spent / 2


async def test_work_is_linear_and_nobody_waits_for_a_hostile_request(tmp_path: Path) -> None:
    async with running(tmp_path) as (up, api), probed(up) as took:
        await api.session.get(f"{api.base}/openapi.json")  # made when first asked for
        superlinear = []
        for request in requests():
            growth = await least_growth(up, api, request)
            if growth > ALLOWED_GROWTH:
                superlinear.append(f"{request.name}: {growth:.1f} times at 4 times the size")
    assert not superlinear
    p99 = quantiles(took, n=100)[98]
    assert p99 < HEALTHY_WITHIN, f"/healthz waited for {p99:.3f} s of work"
