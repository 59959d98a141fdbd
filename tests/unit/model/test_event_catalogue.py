"""What a catalogue is: which documents are one, and what is said of those that are not."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notification_adapters.event_formats.catalogue import operational_catalogue
from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_core.model.event_catalogue import (
    DIALECT,
    GENERATED,
    MAX_EVENT_TYPES,
    InvalidCatalogue,
    parse_catalogue,
    schema_place,
    written,
)
from notification_core.model.event_types import (
    RESERVED_EVENT_TYPES,
    EventCatalogue,
    EventType,
)
from notification_core.model.outbox_message import OperationalEventType
from tests.support.samples import an_event

PLACED = "order-placed"
BODY = f"webhooks.{PLACED}.post.requestBody.content['application/json']"


def a_type(**changes: Any) -> dict[str, Any]:
    """Return the webhook of an event type, with another schema, example or operation."""
    content = {"schema": {"type": "object"}, "example": {"total": 1}}
    content |= {key: changes.pop(key) for key in content if key in changes}
    post = {"description": "An order was placed.", **changes}
    return {"post": {"requestBody": {"content": {"application/json": content}}, **post}}


def a_document(item: Any = None, **more: Any) -> dict[str, Any]:
    """Return a catalogue with one type, or with what is there instead."""
    item = a_type() if item is None else item
    return {"openapi": "3.1.0", "webhooks": {PLACED: item}, **more}


def components(**schemas: Any) -> dict[str, Any]:
    return {"components": {"schemas": schemas}}


def refusal(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidCatalogue) as caught:
        parse_catalogue(document)
    return [(written(place), message) for place, message in caught.value.problems]


def the_type(document: Any) -> EventType:
    return parse_catalogue(document).types[PLACED]


def test_a_document_says_all_of_an_event_type() -> None:
    event_type = the_type(a_document(a_type(summary="Placed", deprecated=True)))
    assert event_type.name == PLACED
    assert event_type.description == "An order was placed."
    assert event_type.summary == "Placed"
    assert event_type.deprecated
    assert event_type.schema == {"$schema": DIALECT, "type": "object"}
    assert event_type.example == {"total": 1}


def test_the_order_of_the_document_is_kept() -> None:
    names = ["b", "a", "C.3_x-"]
    webhooks: Any = dict.fromkeys(names, a_type())
    assert list(parse_catalogue({"openapi": "3.1.1", "webhooks": webhooks}).types) == names


def test_a_summary_stands_in_for_a_description() -> None:
    item = a_type(summary="Placed")
    del item["post"]["description"]
    assert the_type(a_document(item)).description == "Placed"


def test_parts_may_stand_elsewhere_in_the_document() -> None:
    item = a_type()
    body = item["post"].pop("requestBody")
    item["post"]["requestBody"] = {"$ref": "#/components/requestBodies/a~1b"}
    parts = {"pathItems": {"placed": item}, "requestBodies": {"a/b": body}}
    document = a_document({"$ref": "#/components/pathItems/placed"}, components=parts)
    assert the_type(document).example == {"total": 1}


def test_a_schema_takes_along_what_it_refers_to() -> None:
    reference = {"$ref": "#/components/schemas/Order"}
    order = {"properties": {"lines": {"items": {"$ref": "#/components/schemas/Line"}}}}
    line = {"properties": {"parts": {"items": {"$ref": "#/components/schemas/Line"}}}}
    document = a_document(a_type(schema=reference), **components(Order=order, Line=line, No={}))
    assert the_type(document).schema == {
        "$schema": DIALECT,
        "$ref": "#/$defs/Order",
        "$defs": {
            "Order": {"properties": {"lines": {"items": {"$ref": "#/$defs/Line"}}}},
            "Line": {"properties": {"parts": {"items": {"$ref": "#/$defs/Line"}}}},
        },
    }


def test_what_only_looks_like_a_reference_is_data() -> None:
    schema = {"const": {"$ref": "x"}, "properties": {"$ref": {"$ref": "#/components/schemas/A"}}}
    document = a_document(a_type(schema=schema), **components(A={"enum": [{"$id": "y"}]}))
    assert the_type(document).schema == {
        "$schema": DIALECT,
        "const": {"$ref": "x"},
        "properties": {"$ref": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"enum": [{"$id": "y"}]}},
    }


def schema_of(**schema: Any) -> dict[str, Any]:
    return a_document(a_type(schema=schema), **components(A={}, B={"$ref": "other.yaml#/X"}))


@pytest.mark.parametrize(
    ("document", "place", "message"),
    [
        (None, "the document", "an object"),
        ([], "the document", "an object"),
        ({"openapi": "3.0.3", "webhooks": {}}, "openapi", "3.1"),
        ({"webhooks": {}}, "openapi", "3.1"),
        ({"openapi": "3.1.0"}, "webhooks", "at least one"),
        ({"openapi": "3.1.0", "webhooks": {}}, "webhooks", "at least one"),
        (a_document({}), f"webhooks.{PLACED}.post", "missing"),
        (a_document(5), f"webhooks.{PLACED}", "an object"),
        (a_document({"post": {"description": "x"}}), BODY.partition(".content")[0], "missing"),
        (a_document(a_type(description="")), f"webhooks.{PLACED}.post", "description"),
        (a_document(a_type(summary=5)), f"webhooks.{PLACED}.post.summary", "text"),
        (a_document(a_type(deprecated="no")), f"webhooks.{PLACED}.post.deprecated", "true"),
        (a_document(a_type(schema=None)), f"{BODY}.schema", "JSON Schema"),
        (a_document(a_type(example="x" * 2**20)), f"{BODY}.example", "1,048,576"),
        (a_document({"$ref": "other.yaml"}), f"webhooks.{PLACED}.$ref", "this document"),
        (a_document({"$ref": "#/x"}), f"webhooks.{PLACED}.$ref", "no '#/x'"),
        (schema_of(properties={"a": 5}), f"{BODY}.schema.properties.a", "true or false"),
        (schema_of(anyOf=[{"$id": "x"}]), f"{BODY}.schema.anyOf[0].$id", "not supported"),
        (schema_of(**{"$schema": "draft-07"}), f"{BODY}.schema.$schema", "2020-12"),
        (schema_of(**{"$ref": "https://example.com/"}), f"{BODY}.schema.$ref", "this document"),
        (schema_of(**{"$ref": "#/components/schemas/N"}), f"{BODY}.schema.$ref", "There is no"),
        (schema_of(**{"$ref": "#/openapi"}), f"{BODY}.schema.$ref", "#/components/schemas/"),
        (schema_of(**{"$ref": "#/components/schemas/B"}), "components.schemas.B.$ref", "this doc"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: Any, place: str, message: str) -> None:
    ((found, said),) = refusal(document)
    assert found == place
    assert message in said


def test_an_example_must_be_given() -> None:
    item = a_type()
    del item["post"]["requestBody"]["content"]["application/json"]["example"]
    ((place, message),) = refusal(a_document(item))
    assert place == BODY
    assert "example" in message


def test_a_circle_of_references_is_refused() -> None:
    items = {"a": {"$ref": "#/webhooks/b"}, "b": {"$ref": "#/webhooks/a"}}
    messages = {message for _, message in refusal({"openapi": "3.1.0", "webhooks": items})}
    assert messages == {"This leads over more than 8 references."}


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "ä", "x" * 65, "a\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    ((_, message),) = refusal({"openapi": "3.1.0", "webhooks": {name: a_type()}})
    assert "at most 64 letters" in message


@pytest.mark.parametrize("name", sorted(RESERVED_EVENT_TYPES))
def test_the_names_of_operational_events_are_refused(name: str) -> None:
    ((_, message),) = refusal({"openapi": "3.1.0", "webhooks": {name: a_type()}})
    assert "operational event" in message


def test_all_operational_events_are_reserved() -> None:
    assert frozenset(OperationalEventType) == RESERVED_EVENT_TYPES
    assert operational_catalogue().types.keys() == RESERVED_EVENT_TYPES


def test_the_schemas_of_operational_events_fit_their_examples_and_say_what_each_field_is() -> None:
    schemas = DataSchemas(operational_catalogue())
    for event_type in operational_catalogue().types.values():
        assert event_type.summary
        data = json.dumps(event_type.example).encode()
        assert schemas.fits(an_event(type=event_type.name, data=data))
        fields: Any = event_type.schema["properties"]
        assert all(field["description"] for field in fields.values())
        assert isinstance(event_type.example, dict)
        assert event_type.example.keys() <= fields.keys()


def test_what_the_api_generates_is_not_taken_for_a_catalogue() -> None:
    ((place, message),) = refusal(a_document({**a_type(), GENERATED: True}))
    assert place == "webhooks"
    assert "generated from a catalogue" in message


def test_there_are_a_thousand_types_at_most() -> None:
    webhooks: Any = {f"t{number}": a_type() for number in range(MAX_EVENT_TYPES)}
    assert len(parse_catalogue({"openapi": "3.1.0", "webhooks": webhooks}).types) == MAX_EVENT_TYPES
    ((place, message),) = refusal({"openapi": "3.1.0", "webhooks": {**webhooks, "more": a_type()}})
    assert (place, "1,001" in message) == ("webhooks", True)


def test_schemas_that_all_take_much_along_are_refused() -> None:
    large = {"const": "x" * 100_000}
    schema = {"$ref": "#/components/schemas/Large"}
    webhooks = {f"t{number}": a_type(schema=schema) for number in range(200)}
    document = {"openapi": "3.1.0", "webhooks": webhooks, **components(Large=large)}
    ((place, message),) = refusal(document)
    assert place == "webhooks"
    assert "16,777,216" in message


def test_no_more_than_twenty_things_are_said() -> None:
    webhooks: Any = {f"t{number}": {} for number in range(500)}
    assert len(refusal({"openapi": "3.1.0", "webhooks": webhooks})) == 20


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["$ref", "$defs", "properties", "allOf", "items", "post", "a", "schema", "example"]
            ),
            inner | st.sampled_from(["#/components/schemas/A", "#/webhooks/t", "#/openapi"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@example(item={"$ref": "#/components/schemas/A"}, schema=None, component=None)
@given(item=_JSON, schema=_JSON, component=_JSON)
def test_any_document_is_a_catalogue_or_refused_with_its_places(
    item: Any, schema: Any, component: Any
) -> None:
    for webhook in (item, a_type(schema=schema)):
        document = {
            "openapi": "3.1.0",
            "webhooks": {"t": webhook},
            **components(A=component),
        }
        try:
            found: Any = parse_catalogue(document).types["t"].schema["$schema"]
        except InvalidCatalogue as error:
            found = error.problems
        assert found


def test_a_place_in_a_schema_that_stands_alone_is_found_in_the_document() -> None:
    assert (
        written(schema_place(PLACED, ["$defs", "Line", "type"])) == "components.schemas.Line.type"
    )
    assert written(schema_place(PLACED, ["type"])) == f"{BODY}.schema.type"


# Which types a webhook may have.


def a_catalogue(*names: str) -> EventCatalogue:
    webhooks: Any = dict.fromkeys(names, a_type())
    return parse_catalogue({"openapi": "3.1.0", "webhooks": webhooks})


NAMES = st.lists(st.sampled_from("abcdef"), unique=True)


@given(known=NAMES.filter(bool), stored=NAMES, wanted=NAMES)
def test_a_webhook_may_have_what_is_known_and_what_it_has(
    known: list[str], stored: list[str], wanted: list[str]
) -> None:
    catalogue = a_catalogue(*known)
    refused = set(wanted) - set(known) - set(stored)
    errors = list(catalogue.subscription_errors(wanted, stored))
    said = {match[1] for error in errors if (match := re.search("type '(.)'", error.message))}
    assert said == refused
    assert bool(errors) == bool(refused or not wanted)
    assert catalogue.unknown(wanted) == sorted(set(wanted) - set(known))


def test_a_long_list_of_names_is_cut_in_a_sentence() -> None:
    assert a_catalogue("a", "b").names == "a, b"
    assert a_catalogue(*(f"t{n}" for n in range(1000))).names.endswith("t19 and 980 more")
