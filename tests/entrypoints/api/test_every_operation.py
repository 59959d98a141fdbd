"""The same bad input for every operation of the document, and what each is answered.

The table is made from the document, so that an operation that is added later stands in it too.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from attrs import frozen

from tests.entrypoints.api_examples import JSON
from tests.entrypoints.api_services import Backstage, in_memory
from tests.entrypoints.checked_api import (
    DOCUMENT,
    ApiResponse,
    CheckedClient,
    called,
    operations,
    resolved,
)
from tests.entrypoints.example_data import IDS, furnish

pytestmark = pytest.mark.parametrize("stage", [in_memory], indirect=True)
"""What is refused never comes to storage: one is enough."""

Node = Mapping[str, Any]

WRONG: Mapping[str, object] = {
    "string": 7,
    "integer": "seven",
    "boolean": "yes",
    "array": {},
    "object": [],
}
"""For each type a value of another one."""

NO_JSON = (
    *(b"{", b"\xff", b"{'a': 1}", b"NaN", b'{"a": 1e999}', b'{"a": "\\ud800"}'),
    b'{"a":' * 20_000,
    b'{"a":' * 300 + b"1" + b"}" * 300,
)


@frozen
class Operation:
    """An operation of the document, with its path filled in."""

    name: str
    method: str
    path: str
    node: Node

    @property
    def parameters(self) -> Mapping[str, Node]:
        """Its parameters by their names, those of its path included."""
        _, template = operations()[self.name]
        listed = [*DOCUMENT["paths"][template].get("parameters", ()), *self.own]
        return {each["name"]: each for each in map(resolved, listed)}

    @property
    def own(self) -> list[Node]:
        parameters: list[Node] = self.node.get("parameters", [])
        return parameters

    @property
    def body(self) -> Node | None:
        """The schema of its body, None where it takes none."""
        content = self.node.get("requestBody", {}).get("content", {})
        return resolved(content["application/json"]["schema"]) if content else None

    @property
    def example(self) -> Any:
        """The first example of its body."""
        examples = self.node["requestBody"]["content"]["application/json"]["examples"]
        return resolved(next(iter(examples.values())))["value"]

    @property
    def fields(self) -> Mapping[str, Node]:
        """The fields of its body that can be given, by their names."""
        schema = self.body or {}
        schema = resolved(schema["oneOf"][0]) if "oneOf" in schema else schema
        described = {name: resolved(each) for name, each in schema.get("properties", {}).items()}
        return {name: each for name, each in described.items() if not each.get("readOnly")}

    @property
    def codes(self) -> tuple[int, int, int]:
        """What a body is refused with that is no JSON, has wrong fields, has too many bytes."""
        return (1300, 1300, 1005) if self.name == "publishEvents" else (1007, 1100, 1005)

    async def call(self, api: CheckedClient, query: str = "", **options: Any) -> ApiResponse:
        """Call it, with the example of its body unless another one is given."""
        if self.body is not None and not options.keys() & {"json", "data"}:
            options["json"] = self.example
        return await api.call(self.method, self.path + query, **options)


OPERATIONS = [
    Operation(name, method, path.format_map(IDS), DOCUMENT["paths"][path][method.lower()])
    for name, (method, path) in operations().items()
]


def each(where: Callable[[Operation], Any] = lambda _: True) -> pytest.MarkDecorator:
    """Try the operations of which something is true, one by one."""
    chosen = [one for one in OPERATIONS if where(one)]
    assert chosen
    return pytest.mark.parametrize("operation", chosen, ids=[one.name for one in chosen])


def takes(name: str) -> Callable[[Operation], bool]:
    return lambda operation: name in operation.parameters


def has_body(operation: Operation) -> bool:
    return operation.body is not None


@pytest.fixture(autouse=True)
async def furnished(stage: Backstage) -> None:
    await furnish(stage)


def refused(response: ApiResponse, status: int, code: int, *fields: str) -> None:
    """Check that something was refused so, for these fields."""
    assert (response.status, response.json["error_code"]) == (status, code)
    assert not fields or set(fields) <= response.wrong_fields


@each()
async def test_a_query_parameter_that_does_not_exist(
    api: CheckedClient, operation: Operation
) -> None:
    response = await operation.call(api, "?colour=blue")
    refused(response, 400, 1101, "colour")


@each(lambda operation: any(name in operation.path for name in IDS.values()))
async def test_an_id_in_the_path_that_is_none(api: CheckedClient, operation: Operation) -> None:
    for name, parameter in operation.parameters.items():
        if parameter["in"] == "path" and parameter["schema"].get("format") == "uuid":
            path = operation.path.replace(IDS[name], "mine")
            response = await api.call(operation.method, path, json=operation.body and {})
            refused(response, 400, 1101, name)


@each(lambda operation: any(name.endswith("_id") for name in operation.parameters))
async def test_an_id_in_the_path_that_nobody_has(api: CheckedClient, operation: Operation) -> None:
    *_, name = (name for name in operation.parameters if name in IDS)
    if name == "environment_id":
        return  # Every environment is there until the platform says otherwise.
    path = operation.path.replace(IDS[name], str(uuid4()))
    options = {} if operation.body is None else {"json": operation.example}
    response = await api.call(operation.method, path, **options)
    assert response.status == 404
    assert 1200 <= response.json["error_code"] < 1900


@each(takes("limit"))
async def test_a_limit_that_is_none(api: CheckedClient, operation: Operation) -> None:
    for limit in ("0", "101", "-1", "1.5", "ten", "", "9" * 5000):
        refused(await operation.call(api, f"?limit={limit}"), 400, 1101, "limit")


@each(takes("cursor"))
async def test_a_cursor_that_was_made_up(api: CheckedClient, operation: Operation) -> None:
    for cursor in ("AAAA", "x" * 2048, "%C3%A9", "%00"):
        refused(await operation.call(api, f"?cursor={cursor}"), 400, 1101, "cursor")


@each(takes("since"))
async def test_a_time_that_is_none(api: CheckedClient, operation: Operation) -> None:
    for time in ("yesterday", "2026-13-01T00:00:00Z", "1e9", "", "2026-01-01"):
        response = await operation.call(api, f"?since={time}&until={time}")
        refused(response, 400, 1101, "since", "until")


@each(takes("If-Match"))
async def test_a_version_that_is_no_more(api: CheckedClient, operation: Operation) -> None:
    for tag in ('"9"', 'W/"1"', '"1-"', '"mine"', "1", '"' + "9" * 99 + '"'):
        refused(await operation.call(api, headers={"If-Match": tag}), 412, 1203)


@each(takes("Idempotency-Key"))
async def test_a_key_that_was_used_for_another_request(
    api: CheckedClient, operation: Operation
) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await operation.call(api, headers=headers)
    assert first.status < 300
    other = json.dumps(operation.example).encode() + b" " if operation.body else b"{}"
    response = await api.call(operation.method, operation.path, data=other, headers=headers | JSON)
    if operation.body is None:
        assert response.status < 300  # Nothing of it can be another: it takes no body.
    else:
        refused(response, 422, 1011)


@each(takes("Idempotency-Key"))
async def test_a_key_of_another_form(api: CheckedClient, operation: Operation) -> None:
    for key in ("", "k" * 256, "clé"):
        response = await operation.call(api, headers={"Idempotency-Key": key})
        refused(response, 400, 1101, "Idempotency-Key")


@each(has_body)
async def test_a_body_of_another_media_type(api: CheckedClient, operation: Operation) -> None:
    for media_type in ("text/plain", "application/xml", "application/json; charset=utf-16", "json"):
        headers = {"Content-Type": media_type}
        response = await operation.call(api, data=b"{}", headers=headers)
        refused(response, 415, 1006)


@each(has_body)
async def test_a_body_that_is_no_json(api: CheckedClient, operation: Operation) -> None:
    for body in NO_JSON:
        response = await operation.call(api, data=body, headers=JSON)
        refused(response, 400, operation.codes[0])


@each(has_body)
async def test_a_body_that_is_no_object(api: CheckedClient, operation: Operation) -> None:
    for text in (b"null", b"7", b'"text"', b"true", b"[[]]"):
        response = await operation.call(api, data=text, headers=JSON)
        refused(response, 400, operation.codes[1])


@each(lambda operation: operation.node.get("requestBody", {}).get("required"))
async def test_no_body_at_all(api: CheckedClient, operation: Operation) -> None:
    response = await operation.call(api, data=b"", headers=JSON | {"Content-Length": "0"})
    refused(response, 400, operation.codes[0])


@each(has_body)
async def test_a_field_that_does_not_exist(api: CheckedClient, operation: Operation) -> None:
    body = operation.example if isinstance(operation.example, dict) else operation.example[0]
    response = await operation.call(api, json={**body, "colour": "blue"})
    refused(response, 400, operation.codes[1], "colour")
    assert "Unknown field" in response.error_about("colour")


def wrong_fields() -> Iterator[Any]:
    """Yield each field of each body, with a value of another type."""
    for operation in OPERATIONS:
        for name, schema in operation.fields.items():
            types = schema.get("type", ())
            types = [types] if isinstance(types, str) else types
            wrong = next((WRONG[kind] for kind in WRONG if kind in types), None)
            if wrong is not None:
                yield pytest.param(operation, name, wrong, id=f"{operation.name} {name}")


@pytest.mark.parametrize(("operation", "name", "value"), [*wrong_fields()])
async def test_a_field_of_another_type(
    api: CheckedClient, operation: Operation, name: str, value: object
) -> None:
    response = await operation.call(api, json=operation.example | {name: value})
    refused(response, 400, operation.codes[1], name)


@each(has_body)
async def test_a_body_without_end(api: CheckedClient, operation: Operation) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(18):
            yield b" " * 1024 * 1024

    response = await operation.call(api, data=endless(), headers=JSON)
    refused(response, 413, operation.codes[2])


@each(has_body)
async def test_a_body_that_does_not_come(stage: Backstage, operation: Operation) -> None:
    waiting = asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield b"{"
        await waiting.wait()

    timeouts = {
        "api.server_read_timeout": timedelta(milliseconds=50),
        "api.server_write_timeout": timedelta(seconds=60),
    }
    async with called(stage.but(settings=timeouts)) as api:
        response = await operation.call(api, data=halting(), headers=JSON)
        refused(response, 408, 1004)
        waiting.set()
