"""What may stand in a filter, and how large a body it is applied to."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.model.event_filter import (
    DIALECT,
    KEYWORDS,
    MAX_COMPARISONS,
    MAX_FILTER_BYTES,
    MAX_FILTER_DEPTH,
    MAX_PATTERNS,
    MAX_SUBSCHEMAS,
    filter_errors,
    is_affordable,
    weight_of,
)


def errors(schema: object) -> dict[str, str]:
    """Return what is wrong with a filter by its places."""
    return {detail.field: detail.message for detail in filter_errors(json.dumps(schema))}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"properties": {"data": schema}}
    return schema


def test_a_filter_of_every_keyword_that_there_is_is_good() -> None:
    schema = {
        "$schema": DIALECT,
        "$comment": "c",
        "title": "t",
        "description": "d",
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "allOf": [{"if": {"const": 1}, "then": True, "else": {"not": {"enum": [1, "a"]}}}],
                "items": {"oneOf": [{"minimum": 1, "maximum": 2}, {"multipleOf": 0.5}]},
                "prefixItems": [{"pattern": "^a", "minLength": 1, "maxLength": 2}],
                "contains": {"exclusiveMinimum": 1, "exclusiveMaximum": 2},
                "minContains": 1,
                "maxContains": 2,
                "minItems": 1,
                "maxItems": 2,
            },
            "id": {"anyOf": [{"type": "string"}]},
        },
        "propertyNames": {"maxLength": 20},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 9,
        "dependentRequired": {"data": ["id"]},
        "dependentSchemas": {"data": {"required": ["id"]}},
    }
    assert not errors(schema)
    text = json.dumps(schema)
    assert [keyword for keyword in KEYWORDS if f'"{keyword}"' not in text] == []


@pytest.mark.parametrize(
    ("schema", "place", "remedy"),
    [
        ({"$ref": "#/properties/data"}, "filter.$ref", "no references"),
        ({"not": {"$dynamicRef": "#a"}}, "filter.not.$dynamicRef", "no references"),
        ({"$defs": {"a": True}}, "filter.$defs", "no references"),
        ({"properties": {"a": {"uniqueItems": 1}}}, "filter.properties.a.uniqueItems", "all items"),
        ({"allOf": [True, {"unevaluatedItems": 1}]}, "filter.allOf[1].unevaluatedItems", "items"),
        ({"unevaluatedProperties": 1}, "filter.unevaluatedProperties", "additionalProperties"),
        ({"patternProperties": {"a": True}}, "filter.patternProperties", "propertyNames"),
        ({"properties": {"at": {"format": "date"}}}, "filter.properties.at.format", "pattern"),
        ({"if": {"typ": "string"}}, "filter.if.typ", "The keywords are $comment, $schema, addit"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "filter.$schema", DIALECT),
        ({"dependentSchemas": {"a": 1}}, "filter.dependentSchemas.a", "an object"),
        ({"items": {"pattern": "a"}}, "filter.items.pattern", "const or enum"),
        ({"contains": {"not": {"pattern": "a"}}}, "filter.contains.not.pattern", "const or enum"),
        (True, "filter", "an object"),
        ([], "filter", "an object"),
        ({"const": 1e41}, "filter", "between 1e-40 and 1e40"),
        ({"const": 10**41}, "filter", "between 1e-40 and 1e40"),
        ({"const": "\ud800"}, "filter", "surrogates not allowed"),
        ({"const": "x" * MAX_FILTER_BYTES}, "filter", "at most 16,384"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_with_its_place_and_what_would_be_right(
    schema: object, place: str, remedy: str
) -> None:
    ((at, message),) = errors(schema).items()
    assert at == place
    assert remedy in message


def test_a_property_may_be_called_like_a_keyword_that_is_refused() -> None:
    assert not errors({"properties": {"$ref": {"const": {"format": 1}}}, "required": ["$ref"]})


def test_the_limits_are_met_exactly() -> None:
    assert not errors({"allOf": [True] * (MAX_SUBSCHEMAS - 1)})
    assert errors({"allOf": [True] * MAX_SUBSCHEMAS}) == {
        f"filter.allOf[{MAX_SUBSCHEMAS - 1}]": "These are too many schemas. Give at most 64."
    }
    assert not errors(nested(MAX_FILTER_DEPTH))
    ((place, message),) = errors(nested(MAX_FILTER_DEPTH + 1)).items()
    assert place == "filter" + ".properties.data" * MAX_FILTER_DEPTH
    assert "at most 16" in message
    patterns = [{"pattern": "a"}] * MAX_PATTERNS
    assert not errors({"allOf": patterns})
    assert list(errors({"allOf": [*patterns, {"pattern": "a"}]})) == ["filter.allOf[8].pattern"]
    text = json.dumps({"const": ""})
    assert not [*filter_errors(text.replace('""', f'"{"x" * (MAX_FILTER_BYTES - len(text))}"'))]


def test_a_filter_that_nests_as_deep_as_it_is_long_is_refused_and_not_walked() -> None:
    assert [*filter_errors('{"not":' * 2_000 + "{}" + "}" * 2_000)]


def test_only_what_is_applied_to_each_item_or_member_has_a_weight() -> None:
    assert weight_of('{"properties":{"data":{"enum":[1,2,3]}},"required":["data"]}') == 0
    assert weight_of('{"contains":{"const":"x"}}') == 3
    assert weight_of('{"not":{"items":{"minimum":5}}}') == 42
    assert weight_of('{"additionalProperties":false}') == 40
    assert weight_of('{"anyOf":[{"items":{}},{"propertyNames":{"enum":["a"]}}]}') == 1 + 4


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
)


def count_values(value: object) -> int:
    members = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return 1 + sum(map(count_values, members))


@given(body=values)
def test_no_body_has_more_values_than_it_is_taken_to_have(body: object) -> None:
    encoded = json.dumps(body, separators=(",", ":")).encode()
    heaviest = MAX_COMPARISONS // count_values(body)
    assert (
        not is_affordable(heaviest + 1, encoded) or count_values(body) * heaviest < MAX_COMPARISONS
    )


def test_a_filter_without_a_weight_is_applied_to_every_body() -> None:
    body = b"[" + b"0," * 400_000 + b"0]"
    assert is_affordable(0, body)
    assert not is_affordable(1, body)
    assert is_affordable(1, b"[" + b"0," * (MAX_COMPARISONS - 2) + b"0]")
