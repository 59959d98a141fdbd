"""The API on a real server on loopback, with a client that holds every response to the document."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any, cast

import aiohttp
import msgspec
import yaml
from aiohttp import web
from attrs import evolve, field, frozen
from jsonschema_rs import Draft202012Validator

import notification_entrypoints.api.openapi
from notification_adapters.clock import SystemClock
from notification_entrypoints.api.app import api_app
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.process.serve_api import ApiRunner
from notification_entrypoints.serving.shutdown import ShutdownDeadline

BASE = "/api"

Node = Mapping[str, Any]

DOCUMENT = cast(
    "Node",
    yaml.safe_load(
        files(notification_entrypoints.api.openapi).joinpath("openapi.yaml").read_text()
    ),
)


@frozen
class ApiResponse:
    """A response that the document allows; ``json`` is its body, None where it has none."""

    status: int
    headers: Mapping[str, str]
    json: Any = field(default=None)

    @property
    def wrong_fields(self) -> set[str]:
        """The fields that an error names."""
        return {detail["field"] for detail in self.json["details"]}

    def error_about(self, name: str) -> str:
        """Return what an error says of a field."""
        return " ".join(each["message"] for each in self.json["details"] if each["field"] == name)


@frozen
class CheckedClient:
    """Calls the API; a response that the document does not allow fails the test."""

    session: aiohttp.ClientSession
    url: str

    async def call(self, method: str, path: str, **options: Any) -> ApiResponse:
        """Call ``path`` below the API's base and return the response, held to the document."""
        async with self.session.request(method, f"{self.url}{BASE}{path}", **options) as response:
            body = await response.read()
            check_response(method, path, response.status, response.headers, body)
            return ApiResponse(
                response.status, response.headers, msgspec.json.decode(body) if body else None
            )

    async def get(self, path: str, **options: Any) -> ApiResponse:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: object) -> ApiResponse:
        return await self.call("POST", path, json=json)

    async def put(self, path: str, json: object) -> ApiResponse:
        return await self.call("PUT", path, json=json)

    async def delete(self, path: str) -> ApiResponse:
        return await self.call("DELETE", path)


@asynccontextmanager
async def served(application: Application, callers: Callers | None = None) -> AsyncIterator[str]:
    """Serve the API on a free port of loopback; give its URL."""
    deadline = ShutdownDeadline(SystemClock(), timedelta(seconds=1))
    runner = ApiRunner(api_app(application, callers), evolve(application, deadline=deadline))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def called(
    application: Application, callers: Callers | None = None
) -> AsyncIterator[CheckedClient]:
    """Serve the API and give a client for it."""
    async with served(application, callers) as url, aiohttp.ClientSession() as session:
        yield CheckedClient(session, url)


def check_response(
    method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Fail unless the document has this response: status, headers and every field of the body."""
    operation = operation_at(method, path)
    if operation is None:
        assert status >= 400, f"{method} {path} is not in the document, but was answered"
        response = resolved({"$ref": "#/components/responses/Other"})
    else:
        responses = operation["responses"]
        assert str(status) in responses or status >= 400, f"{status} is not in the document"
        response = resolved(responses.get(str(status), responses["default"]))
    _check_headers(response, headers)
    _check_body(response, headers, body)
    if status >= 400:
        error = msgspec.json.decode(body)
        is_problem = headers["Content-Type"] == "application/problem+json"
        assert error["status" if is_problem else "http_code"] == status
        assert error["request_id"] == headers["X-Request-Id"]


def operation_at(method: str, path: str) -> Node | None:
    """Return the operation that a path leads to, the literal paths first."""
    bare = path.partition("?")[0]
    for template in sorted(DOCUMENT["paths"], key=lambda each: each.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), bare):
            return cast("Node | None", DOCUMENT["paths"][template].get(method.lower()))
    return None


def operations() -> Mapping[str, tuple[str, str]]:
    """Return the method and the path of each operation of the document, by its id."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def strict_validator(schema: Node) -> Draft202012Validator:
    """Compile a schema of the document so that fields that it does not name are refused."""
    return _strict_validator(msgspec.json.encode(schema))


@cache
def _strict_validator(schema: bytes) -> Draft202012Validator:
    # Once for each schema: compiling takes longer than most calls of the API.
    root = {"allOf": [_closed(msgspec.json.decode(schema))], "components": _closed_components()}
    return Draft202012Validator(root, validate_formats=True)


@cache
def _closed_components() -> Node:
    return {"schemas": _closed(DOCUMENT["components"]["schemas"])}


def resolved(node: Node) -> Node:
    """Follow the references that stand in a place of the document."""
    target: Any = node
    while "$ref" in target:
        reference, target = target["$ref"], DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
    return cast("Node", target)


def _closed(node: Any) -> Any:
    """Refuse fields that a schema does not name, where it does not say itself what it takes."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(each) for key, each in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def _check_headers(response: Node, headers: Mapping[str, str]) -> None:
    described = {name: resolved(each) for name, each in response["headers"].items()}
    for name, header in described.items():
        assert name in headers or not header.get("required"), f"{name} is missing"
    telling = {"Accept-Encoding", "Allow", "ETag", "Idempotent-Replayed", "Link", "Location"}
    extra = (telling | {"Retry-After"}) & set(headers) - set(described)
    assert not extra, f"{extra} are not in the document"


def _check_body(response: Node, headers: Mapping[str, str], body: bytes) -> None:
    content = response.get("content")
    if content is None:
        assert not body
        return
    media_type = headers["Content-Type"]
    assert media_type in {"application/json", "application/problem+json"}
    schema = content[media_type]["schema"]
    errors = [
        f"{error.instance_path}: {error.message}"
        for error in strict_validator(schema).iter_errors(msgspec.json.decode(body))
    ]
    assert not errors
