"""What HTTP itself says: methods, media types, codings, whatever the operation."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from tests.entrypoints.api_examples import DRAFT, ENVIRONMENT, EVENT, EVENTS, WEBHOOKS, create
from tests.entrypoints.api_services import in_memory
from tests.entrypoints.checked_api import CheckedClient, operations
from tests.entrypoints.example_data import IDS

LARGE, SMALL = "/openapi.json", f"/environments/{ENVIRONMENT}/settings"

pytestmark = pytest.mark.parametrize("stage", [in_memory], indirect=True)
"""Storage makes no difference to what is tested here."""

METHODS: dict[str, set[str]] = {}
for method, path in operations().values():
    METHODS.setdefault(path, {"OPTIONS"}).update({method, "HEAD"} if method == "GET" else {method})


def filled(path: str) -> str:
    """Return a path of the document with ids in it."""
    return path.format_map(IDS)


@pytest.mark.parametrize("path", METHODS)
async def test_each_path_tells_its_methods(api: CheckedClient, path: str) -> None:
    url = f"{api.url}/api{filled(path)}"
    async with api.session.options(url) as response:
        assert (response.status, await response.read()) == (204, b"")
        assert set(response.headers["Allow"].split(", ")) == METHODS[path]
        assert response.headers["X-Request-Id"]


@pytest.mark.parametrize("path", METHODS)
async def test_each_path_refuses_the_methods_that_it_does_not_have(
    api: CheckedClient, path: str
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"} - METHODS[path]:
        response = await api.call(method, filled(path), data=b"{}")
        assert (response.status, response.json["error_code"]) == (405, 1003)
        assert set(response.headers["Allow"].split(", ")) == METHODS[path]


async def test_the_reference_page_has_its_methods_too(api: CheckedClient) -> None:
    async with api.session.options(f"{api.url}/api/docs") as response:
        assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert (await api.call("DELETE", "/docs")).status == 405


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/*",
        "*",
        "text/html, application/xhtml+xml, */*;q=0.1",
        "Application/JSON; charset=utf-8",
        "application/json;q=0.001",
        "text/*;q=1, application/json;q=0.5, */*;q=0",
        "application/json;q=nonsense",
        "; , ;;q=",
    ],
)
async def test_who_takes_json_in_any_way_gets_it(api: CheckedClient, accept: str | None) -> None:
    skip = {"Accept"} if accept is None else set()
    headers = {} if accept is None else {"Accept": accept}
    response = await api.get("/webhooks/events", headers=headers, skip_auto_headers=skip)
    assert response.status == 200


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml, text/*",
        "application/json;q=0",
        "application/json;q=0, */*",
        "application/*;q=0, */*;q=1",
        "*/*;q=0",
    ],
)
async def test_who_takes_no_json_is_told_so_and_nothing_is_done(
    api: CheckedClient, accept: str
) -> None:
    for method, path, body in (
        ("GET", "/webhooks/events", None),
        ("POST", WEBHOOKS, DRAFT),
        ("POST", EVENTS, EVENT),
    ):
        response = await api.call(method, path, json=body, headers={"Accept": accept})
        assert (response.status, response.json["error_code"]) == (406, 1012)
    assert (await api.get(WEBHOOKS)).json == []


async def test_what_has_no_body_can_be_had_by_anybody(api: CheckedClient) -> None:
    path = f"/webhooks/{(await create(api))['webhook_id']}"
    assert (await api.call("DELETE", path, headers={"Accept": "text/html"})).status == 204


PLAIN = "none"


async def raw(api: CheckedClient, path: str, **headers: str) -> tuple[bytes, Mapping[str, str]]:
    """Return the bytes of a response as they came, with its headers."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(
            f"{api.url}/api{path}", headers=headers, skip_auto_headers=["Accept-Encoding"]
        ) as response,
    ):
        return await response.read(), response.headers


def unpacked(body: bytes, headers: Mapping[str, str]) -> Any:
    match headers.get("Content-Encoding"):
        case "gzip":
            body = gzip.decompress(body)
        case "deflate":
            body = zlib.decompress(body)
    return json.loads(body)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("GZIP;q=0.5, deflate;q=0.8", "deflate"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("br, identity;q=0, *;q=0.1", "gzip"),
        ("", PLAIN),
        ("br", PLAIN),
        ("gzip;q=0", PLAIN),
        ("identity", PLAIN),
        ("identity, gzip;q=0.5", PLAIN),
        ("*;q=0", PLAIN),
    ],
)
async def test_a_large_response_is_compressed_as_the_caller_accepts_it(
    api: CheckedClient, accepted: str, coding: str
) -> None:
    plain, _ = await raw(api, LARGE)
    body, headers = await raw(api, LARGE, **{"Accept-Encoding": accepted})
    assert headers.get("Content-Encoding", PLAIN) == coding
    assert headers["Vary"] == "Accept-Encoding"
    assert int(headers["Content-Length"]) == len(body)
    assert (len(body) < len(plain) / 2) == (coding != PLAIN)
    assert unpacked(body, headers) == json.loads(plain)


async def test_a_small_response_is_not_compressed_unless_nothing_else_is_accepted(
    api: CheckedClient,
) -> None:
    _, headers = await raw(api, SMALL, **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in headers
    assert "Vary" not in headers
    body, headers = await raw(api, SMALL, **{"Accept-Encoding": "gzip, identity;q=0"})
    assert headers["Content-Encoding"] == "gzip"
    assert unpacked(body, headers)["verification_keys"]


async def test_what_a_caller_says_at_great_length_is_not_kept(api: CheckedClient) -> None:
    async def ask(number: int) -> None:
        lines = [
            ("Accept-Encoding", ",".join(f"{number}-{line}-{each}" for each in range(600)))
            for line in range(10)
        ]
        async with api.session.get(f"{api.url}/api{SMALL}", headers=lines) as response:
            assert response.status == 200

    await ask(0)
    tracemalloc.start()
    try:
        for number in range(1, 6):
            await ask(number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000, "All five come to more than twice as much, once they are read."


async def test_what_a_tag_names_is_sent_as_it_is(api: CheckedClient) -> None:
    draft = DRAFT | {"custom_headers": {f"X-{number}": "v" * 4000 for number in range(10)}}
    path = f"/webhooks/{(await create(api, draft))['webhook_id']}"
    body, headers = await raw(api, path, **{"Accept-Encoding": "gzip"})
    assert len(body) > 32 * 1024
    assert "Content-Encoding" not in headers


async def test_a_large_error_is_compressed_too(api: CheckedClient) -> None:
    body = json.dumps(DRAFT | {"events": ["x" * 60] * 1000}).encode()
    headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
    response = await api.call("POST", WEBHOOKS, data=body, headers=headers)
    assert response.status == 400


async def test_head_returns_of_a_compressed_response_what_get_would(api: CheckedClient) -> None:
    accepted = {"Accept-Encoding": "gzip"}
    _, got = await raw(api, LARGE, **accepted)
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.head(f"{api.url}/api{LARGE}", headers=accepted) as head,
    ):
        assert await head.read() == b""
        for name in ("Content-Encoding", "Content-Length", "Vary"):
            assert head.headers[name] == got[name]


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf8", '"utf-8"'])
async def test_a_body_may_say_that_it_is_in_utf_8(api: CheckedClient, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    response = await api.call("POST", EVENTS, data=json.dumps(EVENT).encode(), headers=headers)
    assert response.status == 202


@pytest.mark.parametrize("coding", ["br", "zstd", "snappy", "gzip, gzip", ""])
async def test_a_body_of_an_unknown_coding_is_refused(api: CheckedClient, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    response = await api.call("POST", EVENTS, data=json.dumps(EVENT).encode(), headers=headers)
    assert (response.status, response.json["error_code"]) == (415, 1013)
    assert response.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("coding", ["identity", "GZIP", "deflate"])
async def test_a_body_of_a_coding_of_http_is_accepted(api: CheckedClient, coding: str) -> None:
    text = json.dumps(EVENT).encode()
    packed = {"GZIP": gzip.compress(text), "deflate": zlib.compress(text)}.get(coding, text)
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    assert (await api.call("POST", EVENTS, data=packed, headers=headers)).status == 202


@pytest.mark.parametrize(
    "accept", ["application/problem+json, */*", "application/json, application/problem+json;q=0.5"]
)
async def test_errors_come_as_problem_details_if_asked_for(api: CheckedClient, accept: str) -> None:
    body = json.dumps(DRAFT | {"name": ""}).encode()
    headers = {"Content-Type": "application/json", "Accept": accept}
    refused = await api.call("POST", WEBHOOKS, data=body, headers=headers)

    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json["type"] == "urn:notification-management:error:1100"
    assert refused.wrong_fields == {"name"}


async def test_an_unknown_path_is_a_problem_too(api: CheckedClient) -> None:
    missing = await api.get("/nowhere", headers={"Accept": "application/problem+json"})

    assert (missing.status, missing.json["status"]) == (404, 404)
    assert missing.json["title"]


@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/problem+json;q=0, */*"])
async def test_errors_keep_their_shape_otherwise(api: CheckedClient, accept: str) -> None:
    missing = await api.get("/nowhere", headers={"Accept": accept})

    assert missing.headers["Content-Type"] == "application/json"
    assert missing.json["http_code"] == 404
