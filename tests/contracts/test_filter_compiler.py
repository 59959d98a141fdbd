"""What every FilterCompiler promises: JSON Schema 2020-12, in a time that nobody can stretch."""

import gc
import json
from collections.abc import Callable
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_adapters.event_formats.filter_compiler import JsonSchemaFilterCompiler
from notification_core.errors import InvalidFilter, UnrepresentableBody
from notification_core.model.event import MAX_EVENT_BYTES
from notification_core.model.event_filter import (
    MAX_PATTERN_TEXT,
    filter_errors,
    is_affordable,
    weight_of,
)
from notification_core.ports.filter_compiler import FilterCompiler
from tests.support.json_schema import is_valid

COMPILERS = [pytest.param(JsonSchemaFilterCompiler, id="jsonschema-rs")]


@pytest.fixture(params=COMPILERS)
def compiler(request: pytest.FixtureRequest) -> FilterCompiler:
    made: FilterCompiler = request.param()
    return made


names = st.sampled_from(["a", "b", "ab"])
numbers = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 1.5, -0.1, 1e20, 1e-20, 2**70])
scalars = st.none() | st.booleans() | numbers | st.sampled_from(["", "a", "b", "aab", "é"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
sizes = st.integers(0, 3)


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(names, inner, max_size=2)
    types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
    given_names = st.lists(names, unique=True, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": types | st.lists(types, min_size=1, max_size=2, unique=True),
            "const": values,
            "enum": st.lists(values, min_size=1, max_size=3, unique_by=json.dumps),
            **dict.fromkeys(
                ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), numbers
            ),
            "multipleOf": st.sampled_from([1, 2, 0.5, 0.1]),
            **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), sizes),
            **dict.fromkeys(("minProperties", "maxProperties"), sizes),
            "required": given_names,
            "dependentRequired": st.dictionaries(names, given_names, max_size=2),
            **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), several),
            **dict.fromkeys(("properties", "dependentSchemas"), named),
            **dict.fromkeys(("additionalProperties", "items", "propertyNames", "not"), inner),
            **dict.fromkeys(("if", "then", "else"), inner),
            "contains": inner,
            "minContains": sizes,
            "maxContains": sizes,
        },
    )


schemas = st.recursive(
    st.booleans() | st.fixed_dictionaries({"pattern": st.sampled_from(["a", "^a+", "b|é"])}),
    keywords,
    max_leaves=8,
)


@given(schema=schemas.filter(lambda schema: isinstance(schema, dict)), body=values)
def test_a_filter_means_what_json_schema_says(schema: dict[str, Any], body: object) -> None:
    text = json.dumps(schema)
    if any(filter_errors(text)):
        return
    for param in COMPILERS:
        compiler: FilterCompiler = param.values[0]()  # type: ignore[operator] # it is a class
        compiled = compiler.compile(text)
        encoded = json.dumps(body).encode()
        assert compiled.matches(compiler.parse(encoded)) == is_valid(schema, body)
        assert bool(compiled.errors(encoded, 10)) != is_valid(schema, body)


def test_errors_name_the_places_in_body_and_filter_and_quote_nothing(
    compiler: FilterCompiler,
) -> None:
    schema = {
        "properties": {
            "type": {"enum": ["job-completed"]},
            "data": {"required": ["status"], "properties": {"tags": {"items": {"type": "string"}}}},
        }
    }
    body = b'{"type":"a secret","data":{"tags":["x",1]}}'
    errors = compiler.compile(json.dumps(schema)).errors(body, 10)
    assert {(error.field, error.message) for error in errors} == {
        ("type", "This is not what filter.properties.type.enum asks for."),
        ("data.status", "This is not what filter.properties.data.required asks for."),
        (
            "data.tags[1]",
            "This is not what filter.properties.data.properties.tags.items.type asks for.",
        ),
    }
    assert len(compiler.compile(json.dumps(schema)).errors(body, 2)) == 2


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"data": {"type": "text"}}}, "filter.properties.data.type"),
        ({"properties": {"data": 1}}, "filter.properties.data"),
        ({"allOf": [{"minimum": "1"}]}, "filter.allOf[0].minimum"),
        ({"allOf": {}}, "filter.allOf"),
        ({"required": "data"}, "filter.required"),
        ({"pattern": "("}, "filter.pattern"),
        ({"pattern": r"(a)\1"}, "filter.pattern"),
        ({"pattern": "(?=a)b"}, "filter.pattern"),
        ({"pattern": "(?:a{100}){100}"}, "filter.pattern"),
        ({"pattern": r"\p{L}{50}"}, "filter.pattern"),
        ({"multipleOf": 0}, "filter.multipleOf"),
        (json.loads('{"const":' + "[" * 300 + "]" * 300 + "}"), "filter"),
    ],
)
def test_what_a_keyword_cannot_have_is_refused_with_its_place(
    compiler: FilterCompiler, schema: object, place: str
) -> None:
    with pytest.raises(InvalidFilter) as refused:
        compiler.compile(json.dumps(schema))
    assert [detail.field for detail in refused.value.details] == [place]


@pytest.mark.parametrize("within", ["const", "enum", "pattern"])
def test_a_property_may_be_called_like_a_keyword(compiler: FilterCompiler, within: str) -> None:
    schema = {"properties": {within: {"pattern": "^a", "allOf": [{"maxLength": 2000}]}}}
    compiled = compiler.compile(json.dumps(schema))
    assert compiled.matches({within: "ab"})
    assert not compiled.matches({within: "b"})
    assert not compiled.matches({within: "a" * (MAX_PATTERN_TEXT + 1)})


def test_a_string_that_is_too_long_does_not_match_a_pattern(compiler: FilterCompiler) -> None:
    compiled = compiler.compile('{"pattern":"^a"}')
    assert compiled.matches("a" * MAX_PATTERN_TEXT)
    assert not compiled.matches("a" * (MAX_PATTERN_TEXT + 1))
    (error,) = compiled.errors(b'"%s"' % (b"a" * (MAX_PATTERN_TEXT + 1)), 10)
    assert error.field == "body"


def test_of_a_body_with_many_values_one_error_is_named_and_soon(compiler: FilterCompiler) -> None:
    compiled = compiler.compile('{"properties":{"data":{"items":{"type":"string"}}}}')
    begun = thread_time()
    (error,) = compiled.errors(b'{"data":[%s1]}' % (b"1," * 500_000), 10)
    assert thread_time() - begun < 1, "the validator looks for all of them for 14 s"
    assert error.field == "data[0]"


@pytest.mark.parametrize(
    "number", ["1e300", "-1E+41", "5e-324", "1" * 41, "-" + "9" * 5000, "0." + "0" * 60 + "1"]
)
def test_a_number_out_of_bounds_cannot_be_represented(
    compiler: FilterCompiler, number: str
) -> None:
    with pytest.raises(UnrepresentableBody, match=r"between 1e-40 and 1e40"):
        compiler.parse(b'{"id":"a","data":[1, %b]}' % number.encode())


@pytest.mark.parametrize(
    "value", ["0", "1e39", "0e999", "-0.0", "9" * 39, "0." + "3" * 500, '", 1e300, [1e300"']
)
def test_other_numbers_and_texts_like_them_are_what_they_are(
    compiler: FilterCompiler, value: str
) -> None:
    body = f'{{"data":[1, {value}]}}'
    assert compiler.parse(body.encode()) == json.loads(body)


def cpu_seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return how much of a processor some work takes at best; servers collect garbage rarely."""

    def once() -> float:
        begun = thread_time()
        work(*arguments)
        return thread_time() - begun

    gc.disable()
    try:
        return min(once() for _ in range(3))
    finally:
        gc.enable()


def body_of(item: str, count: int) -> bytes:
    return b'{"id":"a","data":[%b]}' % ",".join([item] * count).encode()


def largest_body(weight: int, item: str) -> bytes:
    """Return the largest body of these items that a filter of a weight is applied to."""
    low, high = 1, (MAX_EVENT_BYTES - 30) // (len(item) + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if is_affordable(weight, body_of(item, middle)):
            low = middle
        else:
            high = middle - 1
    return body_of(item, low)


def of_items(schema: object) -> object:
    return {"properties": {"data": {"items": schema}}}


NEEDLE = "[01]*1[01]{85}x"
BITS = "".join("01"[index * index * 7 % 11 % 2] for index in range(MAX_PATTERN_TEXT))
NEEDLES = [{"pattern": f"{NEEDLE}{number}"} for number in range(8)]
HOSTILE = {
    "numbers that are compared as fractions": (of_items({"minimum": 1e-39}), "2e-39"),
    "one of many numbers": (
        of_items({"enum": ["", *(float(f"1e{exponent}") for exponent in range(39, -40, -1))]}),
        "1e-39",
    ),
    "multiples of a small number": (of_items({"multipleOf": 1e-39}), "1e39"),
    "one of many objects": (of_items({"enum": [{"a": str(n)} for n in range(99)]}), '{"a":"98"}'),
    "many alternatives": (of_items({"anyOf": [{"const": str(n)} for n in range(50)]}), '"49"'),
    "a text in many items": (of_items({"const": ""}), '""'),
    "many names": (of_items({"dependentRequired": {f"b{n}": ["a"] for n in range(500)}}), "{}"),
    "patterns that defeat automata": (
        {"properties": {"data": {"prefixItems": [{"not": {"anyOf": NEEDLES}}]}}},
        f'"{BITS}"',
    ),
    "a pattern in a long text": (
        {"properties": {"data": {"prefixItems": [{"not": {"pattern": NEEDLE}}]}}},
        f'"{BITS * 20}"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_the_worst_filters_take_less_than_50_ms_on_the_worst_bodies(
    compiler: FilterCompiler, name: str
) -> None:
    schema, item = HOSTILE[name]
    text = json.dumps(schema)
    assert not [*filter_errors(text)]
    compiled = compiler.compile(text)
    body = largest_body(weight_of(text), item)
    parsed = compiler.parse(body)
    assert compiled.matches(parsed)
    assert cpu_seconds(compiled.matches, parsed) < 0.050
    assert cpu_seconds(compiled.errors, body, 10) < cpu_seconds(compiler.parse, body) + 0.050


@pytest.mark.parametrize("name", HOSTILE)
def test_the_time_is_linear_in_the_body(compiler: FilterCompiler, name: str) -> None:
    schema, item = HOSTILE[name]
    compiled = compiler.compile(json.dumps(schema))
    small, large = (compiler.parse(body_of(item, count)) for count in (100, 400))
    took = [cpu_seconds(compiled.matches, body) for body in (small, large)]
    assert took[1] < 8 * took[0] + 0.001, f"four times as much takes {took[1] / took[0]:.1f} times"


def test_the_time_of_a_pattern_is_linear_in_the_text(compiler: FilterCompiler) -> None:
    compiled = compiler.compile(json.dumps({"not": {"pattern": NEEDLE}}))
    texts = BITS[: MAX_PATTERN_TEXT // 4], BITS
    took = [cpu_seconds(compiled.matches, text) for text in texts]
    assert took[1] < 8 * took[0] + 0.001, f"four times as much takes {took[1] / took[0]:.1f} times"


@pytest.mark.parametrize("item", ["[]", "0", "1e39", "1e-20", '{"a":0}', '""'])
def test_the_time_to_parse_is_linear_in_the_body(compiler: FilterCompiler, item: str) -> None:
    took = [
        cpu_seconds(compiler.parse, body_of(item, size // (len(item) + 1)))
        for size in (MAX_EVENT_BYTES // 8, MAX_EVENT_BYTES // 2)
    ]
    assert took[1] < 10 * took[0], f"four times as much takes {took[1] / took[0]:.1f} times"
