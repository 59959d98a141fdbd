"""The API of an installation that has event types of its own, and changes them."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from jsonschema_rs import Draft202012Validator

from notification_adapters.event_formats.catalogue import catalogue_of
from notification_adapters.memory import ManualClock, MemoryStorage, ScriptedSender, memory_storage
from notification_core.errors import InvalidInput
from notification_entrypoints.embedded import AdapterOverrides, open_notifications, settings
from tests.support.samples import ENVIRONMENT

WEBHOOKS = f"/environments/{ENVIRONMENT}/webhooks"
EVENTS = f"/environments/{ENVIRONMENT}/events"
URL = "https://receiver.example.com/"
MONEY = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}
ORDER = {
    "type": "object",
    "required": ["total"],
    "properties": {"total": {"$ref": "#/components/schemas/Money"}, "note": {"const": {"$ref": 1}}},
}


def shop(*names: str) -> dict[str, Any]:
    """Return a catalogue with these types."""
    body = {
        "schema": {"$ref": "#/components/schemas/Order"},
        "example": {"total": {"amount": 12.5}},
    }
    content = {"application/json": body}
    webhooks = {
        name: {"post": {"summary": f"About {name}", "requestBody": {"content": content}}}
        for name in names
    }
    schemas = {"Order": ORDER, "Money": MONEY}
    return {"openapi": "3.1.0", "webhooks": webhooks, "components": {"schemas": schemas}}


class Client:
    """Calls an API; answers with status and body."""

    def __init__(self, client: Any, sender: ScriptedSender) -> None:
        self._client = client
        self.sender = sender

    async def call(self, method: str, path: str, json: object = None) -> tuple[int, Any]:
        async with self._client.request(method, path, json=json) as response:
            body = await response.read()
            return response.status, msgspec.json.decode(body) if body else None


@pytest.fixture
def storage() -> MemoryStorage:
    return memory_storage(ManualClock())


@asynccontextmanager
async def opened(
    storage: MemoryStorage, document: Mapping[str, Any], **chosen: str
) -> AsyncIterator[Client]:
    """Serve the API of an installation that has this catalogue."""
    sender = ScriptedSender()
    overrides = AdapterOverrides(clock=ManualClock(), storage=storage, sender=sender)
    variables = {"DB_ENCRYPTION_SECRET": "s" * 32, "API_AUTH": "none"} | chosen
    configured = settings(document, **variables)
    async with (
        open_notifications(configured, overrides) as notifications,
        TestClient(TestServer(notifications.api())) as client,
    ):
        yield Client(client, sender)


def draft(*events: str) -> dict[str, Any]:
    return {"name": "w", "url": URL, "events": [*events]}


async def test_an_update_keeps_types_that_are_unknown_by_now_and_adds_none(
    storage: MemoryStorage,
) -> None:
    async with opened(storage, shop("placed", "sent")) as client:
        status, webhook = await client.call("POST", WEBHOOKS, draft("placed", "sent"))
        assert status == 201
        assert "unknown_events" not in webhook
    path = f"/webhooks/{webhook['webhook_id']}"
    async with opened(storage, shop("sent", "returned")) as client:
        _, webhook = await client.call("GET", path)
        assert webhook["events"] == ["placed", "sent"]
        assert webhook["unknown_events"] == ["placed"]
        assert (await client.call("GET", WEBHOOKS))[1] == [webhook]
        # What GET gave can be put back, and other fields can be changed.
        assert (await client.call("PUT", path, webhook))[0] == 200
        assert (await client.call("PATCH", path, {"name": "Other"}))[0] == 200
        more = ["placed", "returned"]
        status, webhook = await client.call("PATCH", path, {"events": more})
        assert (status, webhook["events"]) == (200, more)
        for method, change in (("PUT", draft("sent", "lost")), ("PATCH", {"events": ["lost"]})):
            status, error = await client.call(method, path, change)
            assert status == 400
            ((place, message),) = [(d["field"], d["message"]) for d in error["details"]]
            assert place.startswith("events[")
            assert "Choose from sent, returned" in message
        # Once it is gone it cannot come back, and nobody else can have it.
        assert (await client.call("PATCH", path, {"events": ["sent"]}))[0] == 200
        assert (await client.call("PATCH", path, {"events": ["sent", "placed"]}))[0] == 400
        assert (await client.call("POST", WEBHOOKS, draft("placed")))[0] == 400


async def test_what_was_delivered_of_a_type_that_is_unknown_by_now_can_be_looked_up(
    storage: MemoryStorage,
) -> None:
    async with opened(storage, shop("placed")) as client:
        _, webhook = await client.call("POST", WEBHOOKS, draft("placed"))
        await client.call("POST", EVENTS, {"event": "placed", "data": {}})
    async with opened(storage, shop("sent")) as client:
        _, events = await client.call("GET", f"{EVENTS}?event=placed")
        assert [event["event"] for event in events] == ["placed"]
        path = f"/webhooks/{webhook['webhook_id']}"
        _, deliveries = await client.call("GET", f"{path}/deliveries?event=placed")
        assert len(deliveries) == 1
        status, error = await client.call("POST", f"{path}/test", {})
        assert status == 400
        assert "none of the event types" in error["details"][0]["message"]
        status, error = await client.call("POST", f"{path}/test", {"event": "placed"})
        assert (status, error["details"][0]["field"]) == (400, "event")


async def test_a_deprecated_type_is_listed_as_such_and_delivered(storage: MemoryStorage) -> None:
    document = shop("placed", "sent")
    document["webhooks"]["placed"]["post"]["deprecated"] = True
    async with opened(storage, document) as client:
        _, types = await client.call("GET", "/webhooks/events")
        assert [type_.get("deprecated", False) for type_ in types] == [True, False]
        await client.call("POST", WEBHOOKS, draft("placed"))
        status, _ = await client.call("POST", EVENTS, {"event": "placed", "data": {}})
        assert status == 202
        _, served = await client.call("GET", "/openapi.json")
        assert served["webhooks"]["placed"]["post"]["deprecated"]


async def test_the_types_are_listed_with_schemas_that_can_be_read_alone(
    storage: MemoryStorage,
) -> None:
    async with opened(storage, shop("placed")) as client:
        _, (listed,) = await client.call("GET", "/webhooks/events")
        assert listed["summary"] == "About placed"
        validator = Draft202012Validator(listed["schema"])
        assert validator.is_valid(listed["example"])
        assert not validator.is_valid({"total": {}})


async def test_the_document_says_what_a_receiver_gets(storage: MemoryStorage) -> None:
    renamed = "WEBHOOKS_PUBLIC_VERIFICATION_KEY_SIGNATURE_HEADER"
    async with opened(storage, shop("placed", "sent"), **{renamed: "X-Shop"}) as client:
        _, served = await client.call("GET", "/openapi.json")
        post = served["webhooks"]["placed"]["post"]
        await client.call("POST", WEBHOOKS, draft("placed"))
        await client.call("POST", EVENTS, {"event": "placed", "data": {"total": {"amount": 1}}})
        while not client.sender.requests:
            await client.call("GET", WEBHOOKS)
        (request,) = client.sender.requests
    content = post["requestBody"]["content"]["application/json"]
    root = {"allOf": [content["schema"]], "components": served["components"]}
    validator = Draft202012Validator(root, validate_formats=True)
    validator.validate(content["example"])
    validator.validate(msgspec.json.decode(request.body or b""))
    assert not validator.is_valid({**content["example"], "data": {"total": {}}})
    # Only instead of a schema is a $ref a reference.
    assert served["components"]["schemas"]["data.Order"]["properties"]["note"] == {
        "const": {"$ref": 1}
    }
    names = {parameter["name"].lower() for parameter in parameters_of(post, served)}
    sent = {name.lower() for name, _ in request.headers}
    assert names == (sent | {"user-agent"}) - {"content-type"}
    assert "x-shop-key-id" in names


async def test_without_standard_signatures_the_document_says_that_there_may_be_none(
    storage: MemoryStorage,
) -> None:
    async with opened(storage, shop("placed"), WEBHOOKS_STANDARD_SIGNATURE="false") as client:
        _, served = await client.call("GET", "/openapi.json")
    required = {
        parameter["name"]: parameter["required"]
        for parameter in parameters_of(served["webhooks"]["placed"]["post"], served)
    }
    assert (required["webhook-id"], required["webhook-signature"]) == (True, False)


async def test_the_served_document_is_not_taken_for_a_catalogue(storage: MemoryStorage) -> None:
    async with opened(storage, shop("placed")) as client:
        _, served = await client.call("GET", "/openapi.json")
    with pytest.raises(InvalidInput, match="generated from a catalogue"):
        catalogue_of(served)


async def test_the_examples_tell_of_the_events_that_there_are(storage: MemoryStorage) -> None:
    async with opened(storage, shop("placed")) as client:
        _, served = await client.call("GET", "/openapi.json")
        examples = served["components"]["examples"]
        assert not [text for text in texts_in(examples) if text in ("job-completed", "job-created")]
        for name in ("SmallDraft", "FullDraft"):
            assert (await client.call("POST", WEBHOOKS, examples[name]["value"]))[0] == 201
        for name in ("NewEvent", "NewEventList"):
            assert (await client.call("POST", EVENTS, examples[name]["value"]))[0] == 202
        _, listed = await client.call("GET", "/webhooks/events")
        assert examples["EventTypeList"]["value"][0].items() <= listed[0].items()


def parameters_of(post: Mapping[str, Any], document: Mapping[str, Any]) -> list[Any]:
    names = [parameter["$ref"].rpartition("/")[2] for parameter in post["parameters"]]
    return [document["components"]["parameters"][name] for name in names]


def texts_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for element in node:
            yield from texts_in(element)
    elif isinstance(node, str):
        yield node
