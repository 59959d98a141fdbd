"""The API as an HTTP server, whatever is asked of it and whatever fails behind it."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from io import BytesIO
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from notification_core.errors import StorageUnavailable, UnknownCommit
from notification_core.ingest.ingest import Ingest, Published
from notification_core.model.event import Event, Source
from notification_core.model.read_models import LogPage, WebhookView
from notification_core.model.request_records import RecordsOf
from notification_core.ports.logs import LogStore
from notification_entrypoints.api.app import api_app
from notification_entrypoints.bootstrap.application import Application
from tests.entrypoints.api_examples import DRAFT, EVENT, EVENTS, JSON, WEBHOOKS, create
from tests.entrypoints.api_services import Backstage, in_memory
from tests.entrypoints.checked_api import ApiResponse, CheckedClient, called, check_response, served

JSON_HEAD = "Host: localhost\r\nContent-Type: application/json\r\n"
SHORT = timedelta(milliseconds=100)
LONG = timedelta(seconds=60)
IMPATIENT = {"api.server_read_timeout": SHORT, "api.server_write_timeout": LONG}
PATIENT = {"api.server_read_timeout": LONG, "api.server_write_timeout": LONG}
MIB = 1024 * 1024


pytestmark = pytest.mark.parametrize("stage", [in_memory], indirect=True)
"""Storage makes no difference to what is tested here."""


class TestResponsesOfTheFramework:
    """They have the one shape: the client checks it."""

    async def test_a_path_that_is_none(self, api: CheckedClient) -> None:
        response = await api.get("/nowhere")
        assert (response.status, response.json["error_code"]) == (404, 1002)

    async def test_a_method_that_the_path_does_not_have(self, api: CheckedClient) -> None:
        response = await api.call("POST", "/webhooks/events")
        assert (response.status, response.json["error_code"]) == (405, 1003)
        assert set(response.headers["Allow"].split(",")) >= {"GET"}

    async def test_an_expectation_that_nobody_meets(self, api: CheckedClient) -> None:
        response = await api.get("/webhooks/events", headers={"Expect": "miracles"})
        assert (response.status, response.json["error_code"]) == (417, 1009)

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"\x16\x03\x01 hello\r\n\r\n",
            b"GET / HTTP/9.9.9\r\n\r\n",
            b"GET /api/webhooks/events HTTP/1.1\r\nHost: localhost\r\nBroken\r\n\r\n",
            b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        ],
        ids=["TLS", "version", "header", "long line", "length"],
    )
    async def test_what_is_no_http(self, api: CheckedClient, request_bytes: bytes) -> None:
        response = await raw_response(api, request_bytes)
        assert (response.status, response.json["error_code"]) == (400, 1000)

    @pytest.mark.parametrize("text", [b"\xff\xfe", b"%ED%A8%8A", b"%FF", b"\xed\xa8\x8a"])
    @pytest.mark.parametrize("name", [b"cursor", b"since"])
    async def test_a_parameter_that_is_no_utf_8(
        self, api: CheckedClient, name: bytes, text: bytes
    ) -> None:
        target = f"/api{EVENTS}?".encode() + name + b"=" + text
        response = await raw_response(
            api, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert response.status == 400

    async def test_no_response_tells_what_the_server_is_made_of(self, api: CheckedClient) -> None:
        for path in ("/webhooks/events", "/nowhere"):
            assert (await api.get(path)).headers["Server"] == "notification-management"


async def raw_response(api: CheckedClient, request: bytes) -> ApiResponse:
    """Send bytes as they are and return the response, held to the document."""
    port = int(api.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers: CIMultiDict[str] = CIMultiDict()
        for name, _, value in (line.partition(": ") for line in lines):
            headers.add(name, value)
        body = await reader.readexactly(int(headers["Content-Length"]))
    finally:
        writer.close()
    code = int(status.split()[1])
    check_response("GET", "/nowhere", code, headers, body)
    return ApiResponse(code, headers, json.loads(body))


async def publish_large(api: CheckedClient) -> ApiResponse:
    body = json.dumps(EVENT).encode().ljust(3 * MIB)
    return await api.call("POST", EVENTS, data=BytesIO(body), headers=JSON)


class TestTheBody:
    async def test_one_that_is_too_large_is_refused_before_it_came(
        self, api: CheckedClient
    ) -> None:
        head = f"POST /api{EVENTS} HTTP/1.1\r\n{JSON_HEAD}"
        response = await raw_response(api, f"{head}Content-Length: {16 * MIB + 1}\r\n\r\n".encode())
        assert (response.status, response.json["error_code"]) == (413, 1005)
        assert "16 MiB" in response.json["message"]

    async def test_one_that_tells_no_length_is_not_read_further_than_the_limit(
        self, api: CheckedClient
    ) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(18):
                yield b" " * MIB

        response = await api.call("POST", EVENTS, data=endless(), headers=JSON)
        assert (response.status, response.json["error_code"]) == (413, 1005)

    async def test_one_that_is_not_announced_is_none(self, api: CheckedClient) -> None:
        head = f"POST /api{WEBHOOKS} HTTP/1.1\r\n{JSON_HEAD}"
        response = await raw_response(api, f"{head}\r\n".encode())
        assert (response.status, response.json["error_code"]) == (400, 1007)

    async def test_a_compressed_one_is_limited_by_its_decompressed_size(
        self, api: CheckedClient
    ) -> None:
        bomb = gzip.compress(b" " * (64 * MIB))
        headers = JSON | {"Content-Encoding": "gzip"}
        response = await api.call("POST", EVENTS, data=bomb, headers=headers)
        assert (response.status, response.json["error_code"]) == (413, 1005)

    async def test_a_compressed_one_is_decompressed(self, api: CheckedClient) -> None:
        headers = JSON | {"Content-Encoding": "gzip"}
        body = gzip.compress(json.dumps(EVENT).encode())
        assert (await api.call("POST", EVENTS, data=body, headers=headers)).status == 202

    async def test_one_that_cannot_be_decompressed_is_refused(self, api: CheckedClient) -> None:
        headers = JSON | {"Content-Encoding": "gzip"}
        response = await api.call("POST", EVENTS, data=b"no gzip at all", headers=headers)
        assert response.status == 400

    async def test_one_without_events_has_at_most_128_kib(self, api: CheckedClient) -> None:
        draft, most = json.dumps(DRAFT).encode(), 128 * 1024
        body = BytesIO(draft.ljust(most))
        assert (await api.call("POST", WEBHOOKS, data=body, headers=JSON)).status == 201
        body = BytesIO(draft.ljust(most + 1))
        response = await api.call("POST", WEBHOOKS, data=body, headers=JSON)
        assert response.status == 413
        assert response.json["error_code"] == 1005
        assert "128 KiB" in response.json["message"]

    async def test_unfinished_ones_have_a_bound_together_and_others_are_served(
        self, stage: Backstage
    ) -> None:
        head = f"POST /api{EVENTS} HTTP/1.1\r\n{JSON_HEAD}"
        body = f"{head}Content-Length: {2 * MIB}\r\n\r\n".encode() + b" " * MIB
        async with called(stage.but(settings={"api.server_max_buffered": 4 * MIB})) as api:
            connections = [await connected_to(api.url) for _ in range(6)]
            for _, writer in connections:
                writer.write(body)
            waiting = [asyncio.create_task(reader.readline()) for reader, _ in connections]
            refused, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert {b"503" in line for line in await asyncio.gather(*refused)} == {True}
            # Those that are small go on, and what the others took is given back when they end.
            assert (await api.post(EVENTS, EVENT)).status == 202
            for task, (_, writer) in zip(waiting, connections, strict=True):
                task.cancel()
                writer.close()
            while (await publish_large(api)).status == 503:
                pass

    async def test_one_that_does_not_arrive_is_waited_for_only_so_long(
        self, stage: Backstage
    ) -> None:
        async with called(stage.but(settings=IMPATIENT)) as api:
            head = f"POST /api{EVENTS} HTTP/1.1\r\n{JSON_HEAD}"
            request = f"{head}Content-Length: 100\r\n\r\n{{".encode()
            response = await raw_response(api, request)
        assert (response.status, response.json["error_code"]) == (408, 1004)
        assert response.headers["Connection"] == "close"

    async def test_headers_that_do_not_arrive_end_the_connection(self, stage: Backstage) -> None:
        async with served(stage.but(settings=IMPATIENT)) as url:
            port = int(url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /api/webhooks/events HTTP/1.1\r\n")
            assert await reader.read() == b""
            writer.close()

    async def test_headers_of_a_later_request_that_drip_end_the_connection(
        self, stage: Backstage
    ) -> None:
        async with served(stage.but(settings=IMPATIENT)) as url:
            reader, writer = await connected_to(url)
            writer.write(b"GET /api/webhooks/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = re.findall(rb"Content-Length: (\d+)", head)
            await reader.readexactly(int(length))
            writer.write(b"GET /api/webhooks/events HTTP/1.1\r\nX-A: ")
            dripping = asyncio.create_task(drip(writer))
            assert await reader.read() == b""
            dripping.cancel()
            writer.close()

    async def test_five_hundred_that_drip_do_not_keep_others_from_being_answered(
        self, stage: Backstage
    ) -> None:
        head = f"POST /api{EVENTS} HTTP/1.1\r\n{JSON_HEAD}"
        body = f"{head}Content-Length: 100000\r\n\r\n".encode()
        begun = [b"GET /api/webhooks/events HTTP/1.1\r\nX-A: ", body]
        async with called(stage.but(settings=PATIENT)) as api:
            connections = [await connected_to(api.url) for _ in range(500)]
            for number, (_, writer) in enumerate(connections):
                writer.write(begun[number % 2])
            dripping = [asyncio.create_task(drip(writer)) for _, writer in connections]
            webhook = await create(api)
            assert (await api.get(f"/webhooks/{webhook['webhook_id']}")).status == 200
            assert not any(reader.at_eof() for reader, _ in connections)
            for task, (_, writer) in zip(dripping, connections, strict=True):
                task.cancel()
                writer.close()


async def connected_to(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a server without asking for anything."""
    return await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def drip(writer: asyncio.StreamWriter) -> None:
    """Say what is never the end of anything, a byte at a time."""
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(SHORT.total_seconds() / 4)


class FailingLogs(LogStore):
    """A log whose storage fails as it is told to."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def page(self, *_: object) -> LogPage:
        raise self._error

    async def webhooks(self, *_: object) -> Sequence[WebhookView]:
        raise self._error


class FailingIngest(Ingest):
    """An ingest that fails as it is told to."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def publish(self, *_: object) -> Sequence[Published]:
        raise self._error


class WaitingIngest(Ingest):
    """An ingest that has begun, and goes on when it is told to."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self.begun = asyncio.Event()
        self.proceed = asyncio.Event()

    async def publish(
        self, events: Sequence[Event], keep: RecordsOf[Sequence[Published]] | None = None
    ) -> Sequence[Published]:
        self.begun.set()
        await self.proceed.wait()
        return await self._ingest.publish(events, keep)


class TestFailuresBehindIt:
    async def test_unavailable_storage_is_a_503_that_says_when_to_come_back(
        self, stage: Backstage
    ) -> None:
        error = StorageUnavailable("no disk at /var/lib")
        async with called(stage.but(ingests={Source.HTTP: FailingIngest(error)})) as api:
            response = await api.post(EVENTS, EVENT)
        assert (response.status, response.json["error_code"]) == (503, 1901)
        assert response.headers["Retry-After"] == "1"
        assert "/var/lib" not in json.dumps(response.json)

    async def test_an_unknown_outcome_is_told_as_one(self, stage: Backstage) -> None:
        error = UnknownCommit("cut")
        async with called(stage.but(ingests={Source.HTTP: FailingIngest(error)})) as api:
            response = await api.post(EVENTS, EVENT)
        assert (response.status, response.json["error_code"]) == (503, 1902)
        assert "the outcome is unknown" in response.json["message"]

    async def test_a_response_that_takes_too_long_is_not_waited_for(self, stage: Backstage) -> None:
        ingest = WaitingIngest(stage.application.ingests[Source.HTTP])
        slow = stage.but(
            ingests={Source.HTTP: ingest}, settings={"api.server_write_timeout": SHORT}
        )
        async with called(slow) as api:
            response = await api.post(EVENTS, EVENT)
        assert (response.status, response.json["error_code"]) == (503, 1903)

    async def test_a_failure_of_ours_says_no_more_than_that_and_is_logged(
        self, stage: Backstage, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = RuntimeError("password=hunter2")
        response = await failed(stage.but(storage={"logs": FailingLogs(error)}))
        assert (response.status, response.json["error_code"]) == (500, 1900)
        assert response.json["internal_message"] == ""
        assert response.json["stacktrace"] == []
        assert "hunter2" not in json.dumps(response.json)
        (record,) = caplog.records
        assert record.exc_info
        assert record.exc_info[1] is error
        assert vars(record)["request_id"] == response.json["request_id"]

    async def test_with_debug_an_error_tells_its_cause(self, stage: Backstage) -> None:
        error = RuntimeError("the index is broken")
        response = await failed(
            stage.but(storage={"logs": FailingLogs(error)}, settings={"debug": True})
        )
        assert response.json["internal_message"] == "RuntimeError: the index is broken"
        assert any("deliveries.py" in line for line in response.json["stacktrace"])

    async def test_with_debug_and_without_authentication_others_than_this_host_are_told_nothing(
        self, stage: Backstage
    ) -> None:
        application = stage.but(
            storage={"logs": FailingLogs(RuntimeError("the index is broken"))},
            settings={"debug": True, "api.server_host": "0.0.0.0"},  # noqa: S104 - nothing binds
        )
        response = await failed(application)
        assert response.json["stacktrace"] == []
        assert response.json["internal_message"] == ""


async def failed(application: Application) -> ApiResponse:
    """Return the response to reading a log whose storage fails."""
    async with called(application) as api:
        webhook = await create(api)
        return await api.get(f"/webhooks/{webhook['webhook_id']}/logs")


async def test_a_publisher_that_hangs_up_does_not_stop_its_events(stage: Backstage) -> None:
    ingest = WaitingIngest(stage.application.ingests[Source.HTTP])
    async with called(stage.but(ingests={Source.HTTP: ingest})) as api:
        await create(api)
        publishing = asyncio.create_task(api.post(EVENTS, EVENT))
        await ingest.begun.wait()
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        ingest.proceed.set()
    await stage.begin(1)


async def test_a_host_mounts_it_where_it_likes(stage: Backstage) -> None:
    host = web.Application()
    host.add_subapp("/hooks/v1", api_app(stage.application, prefix=""))
    async with running(host) as url, aiohttp.ClientSession() as session:
        webhooks = f"{url}/hooks/v1{WEBHOOKS}"
        async with session.post(webhooks, json=DRAFT) as created:
            location = created.headers["Location"]
        assert location.startswith("/hooks/v1/webhooks/")
        async with session.get(url + location) as got:
            assert got.status == 200
        async with session.get(f"{url}/hooks/v1/nowhere") as nowhere:
            assert (await nowhere.json())["error_code"] == 1002


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    """Serve an application as a host would, on aiohttp's own runner."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_requests_are_counted_by_route_and_status(
    api: CheckedClient, stage: Backstage
) -> None:
    webhook = await create(api)
    await api.get(f"/webhooks/{webhook['webhook_id']}")
    await api.get(f"/webhooks/{uuid4()}")
    await api.get("/nowhere")
    assert stage.metrics.requests == [
        ("/api/environments/{environment_id}/webhooks", 201),
        ("/api/webhooks/{webhook_id}", 200),
        ("/api/webhooks/{webhook_id}", 404),
        ("unmatched", 404),
    ]


@pytest.mark.parametrize(
    "name", ["7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10", "job:7/try=2", "x", "a" * 128]
)
async def test_a_request_keeps_the_id_that_the_caller_gave_it(
    api: CheckedClient, name: str
) -> None:
    for path in ("/webhooks/events", "/nowhere", f"/webhooks/{uuid4()}"):
        response = await api.get(path, headers={"X-Request-Id": name})
        assert response.headers["X-Request-Id"] == name


@pytest.mark.parametrize("name", ["", "a b", '"a"', "-a", "caf\u00e9", "a" * 129, "{{7*7}}"])
async def test_an_id_that_could_mislead_a_reader_of_logs_is_replaced(
    api: CheckedClient, name: str
) -> None:
    response = await api.get("/nowhere", headers={"X-Request-Id": name})
    made = UUID(response.headers["X-Request-Id"])
    assert str(made) != name
