"""The document: it holds for the routes, for the core's values, and for its own examples."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib.resources import files
from typing import Any

import pytest
import yaml

import notification_entrypoints.api.openapi
from notification_adapters.event_formats.event_json import MAX_EVENTS
from notification_core.model.custom_headers import MAX_HEADERS
from notification_core.model.delivery import AttemptOutcome, ErrorCode
from notification_core.model.destination_messages import MAX_URL_LENGTH
from notification_core.model.event import MAX_EVENT_ID_LENGTH
from notification_core.model.event_catalogue import NAME
from notification_core.model.signing_key import KeyStatus
from notification_core.model.webhook import DisabledReason, Method
from notification_core.webhooks.webhooks import MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH
from notification_entrypoints.api.app import api_app
from notification_entrypoints.api.problems import Problem
from tests.entrypoints.api_services import Backstage
from tests.entrypoints.checked_api import (
    DOCUMENT,
    CheckedClient,
    operations,
    resolved,
    strict_validator,
)
from tests.support.samples import EVENT_TYPES

SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    pytest.param(DOCUMENT["paths"][path][method.lower()], id=name)
    for name, (method, path) in operations().items()
]


def test_each_operation_has_a_route_and_each_route_an_operation(stage: Backstage) -> None:
    routes = {
        (route.method, route.resource.canonical)
        for route in api_app(stage.application).router.routes()
        if route.resource
        and route.method not in {"HEAD", "OPTIONS", "*"}
        and not route.resource.canonical.startswith("/api/docs")
    }
    assert routes == {(method, f"/api{path}") for method, path in operations().values()}


async def test_the_document_is_served_as_it_stands_with_the_events(api: CheckedClient) -> None:
    served = (await api.get("/openapi.json")).json
    known = served["components"]["schemas"]["KnownEventName"]
    assert list(served.pop("webhooks")) == known.pop("enum") == list(EVENT_TYPES)
    parameters = served["components"]["parameters"]
    for name in [name for name in parameters if name.startswith("sent.")]:
        del parameters[name]
    assert served == DOCUMENT


def test_nothing_is_said_twice() -> None:
    # YAML's loader takes the last of two keys without a word.
    class Strict(yaml.SafeLoader):
        """Refuses a key that is there already."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base class's signature
            names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            assert len(set(names)) == len(names), node.start_mark
            return dict(super().construct_mapping(node, deep))

    text = files(notification_entrypoints.api.openapi).joinpath("openapi.yaml").read_text()
    assert yaml.load(text, Strict) == DOCUMENT  # noqa: S506 - a safe loader


def test_every_reference_leads_somewhere() -> None:
    references = list(references_in(DOCUMENT))
    assert references
    for reference in references:
        assert resolved({"$ref": reference})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_described_and_says_how_it_fails(operation: Mapping[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    for status, response in operation["responses"].items():
        if status == "default" or int(status) >= 400:
            schema = resolved(response)["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Error"}
    assert "default" in operation["responses"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_an_operation_takes_and_gives_has_examples(operation: Mapping[str, Any]) -> None:
    for content in contents_of(operation):
        assert content["examples"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_examples_are_what_their_schemas_allow(operation: Mapping[str, Any]) -> None:
    bodies = [operation.get("requestBody", {}), *map(resolved, operation["responses"].values())]
    for body in bodies:
        for content in body.get("content", {}).values():
            validator = strict_validator(content["schema"])
            for example in content.get("examples", {}).values():
                validator.validate(resolved(example)["value"])


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (SCHEMAS["Method"], Method),
        (SCHEMAS["Webhook"]["properties"]["disabled_reason"], DisabledReason),
        (SCHEMAS["WebhookLog"]["properties"]["outcome"], AttemptOutcome),
        (SCHEMAS["AttemptError"]["properties"]["code"], ErrorCode),
        (SCHEMAS["VerificationKey"]["properties"]["status"], KeyStatus),
    ],
)
def test_the_values_are_those_of_the_core(schema: Any, values: type[StrEnum]) -> None:
    assert schema["enum"] == [str(value) for value in values]


def test_every_post_can_be_repeated_but_what_shows_a_secret_or_changes_nothing() -> None:
    posts = {name: path for name, (method, path) in operations().items() if method == "POST"}
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    without = {
        name
        for name, path in posts.items()
        if key not in DOCUMENT["paths"][path]["post"].get("parameters", ())
    }
    assert without == {"createApiKey", "createPortalSession", "tryFilter"}


def test_the_name_of_an_event_type_is_what_a_catalogue_may_have() -> None:
    assert SCHEMAS["EventName"]["pattern"] == f"^{NAME.pattern}$"


def test_the_limits_are_those_of_the_core() -> None:
    batch = DOCUMENT["paths"]["/environments/{environment_id}/events"]["post"]["requestBody"][
        "content"
    ]["application/json"]["schema"]["oneOf"][1]
    assert batch["maxItems"] == MAX_EVENTS
    assert SCHEMAS["WebhookName"]["maxLength"] == MAX_NAME_LENGTH
    assert SCHEMAS["WebhookUrl"]["maxLength"] == MAX_URL_LENGTH
    assert SCHEMAS["WebhookDescription"]["maxLength"] == MAX_DESCRIPTION_LENGTH
    assert SCHEMAS["CustomHeaders"]["maxProperties"] == MAX_HEADERS
    assert SCHEMAS["NewEvent"]["properties"]["event_id"]["maxLength"] == MAX_EVENT_ID_LENGTH


def test_the_catalogue_of_errors_is_that_of_the_code() -> None:
    table = SCHEMAS["Error"]["properties"]["error_code"]["description"]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (.+) \|$", table, re.MULTILINE)
    kinds = [problem.value for problem in Problem]
    assert rows == [(str(k.error_code), str(k.http_code), k.message) for k in kinds]
    assert len({kind.error_code for kind in kinds}) == len(kinds)


def test_a_draft_takes_every_field_that_a_webhook_has() -> None:
    assert SCHEMAS["Webhook"]["properties"].keys() <= SCHEMAS["WebhookDraft"]["properties"].keys()


def references_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from references_in(each)


def contents_of(operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            yield from response.get("content", {}).values()
