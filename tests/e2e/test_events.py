"""One event's way from the API to the receiver: its bytes, its id, and a receiver that says later.

One installation serves all tests of this module: each has an environment of its own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from io import BytesIO
from urllib.parse import quote

import pytest
import pytest_asyncio
from aiohttp import web

from tests.faults.stage import TYPE, Api, JsonObject, Up, event_named, running
from tests.faults.verification import verifies
from tests.support.receivers import ReceivedRequest, Receiver
from tests.support.waiting import until

MIB = 1024 * 1024
INTERVAL, CAP = 0.1, 2
CLOCKS, LATE = 0.05, 0.8
"""How much earlier a retry may seem, and how much later it may come, in seconds."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Up, Api]]:
    folder = tmp_path_factory.mktemp("events")
    settings = {
        "WEBHOOKS_RETRY_INTERVAL": f"{INTERVAL * 1000:.0f}ms",
        "WEBHOOKS_RETRY_AFTER_MAX": f"{CAP}s",
    }
    async with running(folder, **settings) as started:
        yield started


async def test_one_event_ten_times_is_delivered_once(installation: tuple[Up, Api]) -> None:
    up, shared = installation
    api = Api(shared.session, shared.base)
    async with Receiver() as receiver:
        await api.subscribe(receiver.url)
        await asyncio.gather(*(api.publish("again") for _ in range(10)))
        # The same id with another body: the first one stands, and the producer is told of.
        other = event_named("again") | {"data": {"name": "other"}}
        assert await api.try_to_publish([other]) == HTTPStatus.ACCEPTED
        await api.publish("the last")
        await receiver.wait_for(2)
        await until("all is stored", lambda: succeeded(up, api, 2))
        assert [data_of(one)["name"] for one in receiver.requests] == ["again", "the last"]
    assert "event_conflicted" in up.said()


async def succeeded(up: Up, api: Api, count: int) -> bool:
    ours = [one for one in (await up.stored()).deliveries if one.environment_id == api.environment]
    return len(ours) == count and all(one.state == "succeeded" for one in ours)


def data_of(request: ReceivedRequest) -> JsonObject:
    data = json.loads(request.body)["data"]
    assert isinstance(data, dict)
    return data


@pytest.mark.experiment(27, "data of any size")
async def test_data_of_any_size_arrives_as_it_was_sent(installation: tuple[Up, Api]) -> None:
    _, shared = installation
    api = Api(shared.session, shared.base)
    sizes = [0, 1, 1_000, 64 * 1024, 512 * 1024, MIB - 1_000]
    async with Receiver() as receiver:
        await api.subscribe(receiver.url)
        key = await api.key()
        sent = {f"of-{size}": b'{ "z" : "' + b"\xc3\xa9x" * (size // 3) + b'", "a":1.0 }'
                for size in sizes}  # fmt: skip
        for event_id, data in sent.items():
            assert await publish_raw(api, raw_event(event_id, data)) == HTTPStatus.ACCEPTED
        requests = await receiver.wait_for(len(sizes))
        for request in requests:
            name = request.headers["webhook-id"].removeprefix("msg_")
            assert request.body.endswith(b',"data":' + sent[name] + b"}")
            assert verifies(request, key)


@pytest.mark.experiment(27, "a mebibyte, and a byte more")
async def test_an_event_of_a_mebibyte_is_taken_and_of_one_byte_more_refused(
    installation: tuple[Up, Api],
) -> None:
    _, shared = installation
    api = Api(shared.session, shared.base)
    async with Receiver() as receiver:
        await api.subscribe(receiver.url)
        assert await publish_raw(api, padded("largest", MIB)) == HTTPStatus.ACCEPTED
        assert await publish_raw(api, padded("one more", MIB + 1)) == (
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
        (request,) = await receiver.wait_for(1)
        assert len(str(data_of(request)["name"])) > MIB - 1_000


RETRY_AFTER: dict[str, tuple[int, str, float]] = {
    "seconds": (429, "1", 1),
    "seconds beyond the cap": (503, "30", CAP),
    "far beyond the cap": (429, "9" * 99, CAP),
    "a number that is none": (429, "9e99", 0),
    "negative": (503, "-1", 0),
    "a past date": (503, "Wed, 21 Oct 2015 07:28:00 GMT", 0),
    "a far date": (429, "Fri, 31 Dec 9999 23:59:59 GMT", CAP),
    "with a status that has none": (500, "30", 0),
}


@pytest.mark.experiment(33, "Retry-After")
async def test_a_receiver_may_ask_for_time_up_to_the_cap(installation: tuple[Up, Api]) -> None:
    _, shared = installation
    api = Api(shared.session, shared.base)
    async with Receiver(asks_for_time) as receiver:
        for case in RETRY_AFTER:
            await api.subscribe(f"{receiver.url}{quote(case)}")
        await api.publish("event")
        await receiver.wait_for(2 * len(RETRY_AFTER))
        for case, (_, _, asked) in RETRY_AFTER.items():
            first, second = [one.received_at for one in receiver.requests if is_of(case, one)]
            wait = (second - first).total_seconds()
            least = max(asked, INTERVAL)
            assert least - CLOCKS <= wait <= least + LATE, f"{case}: {wait} s"


def asks_for_time(request: ReceivedRequest) -> web.Response:
    (case,) = [one for one in RETRY_AFTER if is_of(one, request)]
    status, value, _ = RETRY_AFTER[case]
    if request.headers["webhook-attempt"] == "1":
        return web.Response(status=status, headers={"Retry-After": value})
    return web.Response()


def is_of(case: str, request: ReceivedRequest) -> bool:
    return request.path == f"/{quote(case)}"


def raw_event(event_id: str, data: bytes) -> bytes:
    return b'{"event_id":"%b","event":"%b","data":%b}' % (event_id.encode(), TYPE.encode(), data)


def padded(event_id: str, size: int) -> bytes:
    """Return an event that is so many bytes large."""
    bare = raw_event(event_id, b'{"name":""}')
    return raw_event(event_id, b'{"name":"%b"}' % (b"x" * (size - len(bare))))


async def publish_raw(api: Api, body: bytes) -> int:
    url = f"{api.base}/environments/{api.environment}/events"
    headers = {"Content-Type": "application/json"}
    async with api.session.post(url, data=BytesIO(body), headers=headers) as response:
        await response.read()
        return response.status
