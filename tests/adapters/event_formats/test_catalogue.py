"""Catalogues in files and as values: what is read, and what is said, with the line."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from notification_adapters.event_formats.catalogue import catalogue_of, read_catalogue
from notification_adapters.event_formats.positioned_text import MAX_TEXT_BYTES, parse_positioned
from notification_core.errors import InvalidInput

SHOP = """\
openapi: 3.1.0
info: {title: Shop, version: "1"}
webhooks:
  order-placed:
    post:
      description: An order was placed.
      requestBody:
        content:
          application/json:
            schema: {$ref: "#/components/schemas/Order"}
            example: &order {total: 12.5, status: "on"}
  order-sent:
    post:
      summary: An order was sent.
      deprecated: true
      requestBody:
        content:
          application/json:
            schema: {$ref: "#/components/schemas/Order"}
            example: *order
components:
  schemas:
    Order:
      type: object
      required: [total]
      properties:
        total: {type: number}
        status: {enum: [on, off, 2026-01-31]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.yaml"


def refusal(file: Path, text: str | bytes) -> str:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r".") as caught:
        read_catalogue(file)
    return str(caught.value)


def test_yaml_and_json_and_a_value_are_the_same_catalogue(file: Path) -> None:
    file.write_text(SHOP)
    from_yaml = read_catalogue(file)
    # YAML 1.1 would take on and off for booleans, and the date for a date.
    schema: Any = from_yaml.types["order-placed"].schema
    order = schema["$defs"]["Order"]
    assert order["properties"]["status"] == {"enum": ["on", "off", "2026-01-31"]}
    assert str(from_yaml) == str(file)
    document = parse_positioned(SHOP.encode()).value
    assert isinstance(document, dict)
    assert catalogue_of(document).types == from_yaml.types
    for written in (json.dumps(document), "\ufeff" + json.dumps(document, indent="\t")):
        file.write_text(written)
        assert read_catalogue(file).types == from_yaml.types


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("An order was placed.", "", 5, "description"),
        ("openapi: 3.1.0", "openapi: 3.0.3", 1, "3.1"),
        ("order-sent", "order sent", 12, "at most 64 letters"),
        ("order-sent", "webhook-disabled", 12, "operational event"),
        ("order-sent", "order-placed", 12, "second time"),
        ("type: number", "type: numbers", 27, '"numbers" is not allowed here'),
        ("type: number", "type: string", 11, "example does not fit"),
        ("type: number", "pattern: '(?=a)b'", 27, "not a JSON Schema"),
        ("type: number", "$ref: 'money.yaml'", 27, "leads into this document"),
        ("total: 12.5", "sum: 12.5", 11, "example does not fit"),
        ("*order", "*other", 20, "no anchor"),
        ("[total]", "[total", 26, "not YAML"),
        ("[total]", "!!python/name:os.system [total]", 25, "tag"),
        ("deprecated: true", "<<: {deprecated: true}", 15, "merge key"),
        ("deprecated: true", "? [a]\n      : b", 15, "a key is a string"),
        ("components:", "---\ncomponents:", 21, "second document"),
        ("title: Shop", "title: \x00", 2, "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    file: Path, old: str, new: str, line: int, said: str
) -> None:
    found = refusal(file, SHOP.replace(old, new))
    assert said in found
    if "\x00" not in new:
        assert f"line {line}" in found


def test_json_that_is_wrong_is_said_with_its_line(file: Path) -> None:
    document = parse_positioned(SHOP.encode()).value
    text = json.dumps(document, indent=1)
    number = text[: text.index('"number"')].count("\n") + 1
    assert f"line {number}, " in refusal(file, text.replace('"number"', '"numbers"'))
    twice = text.replace('"order-sent"', '"order-placed"')
    again = twice[: twice.rindex('"order-placed"')].count("\n") + 1
    assert f"line {again}: webhooks.order-placed stands here for the second" in refusal(file, twice)
    assert "line 2" in refusal(file, '{\n"a": 1,}')
    assert "NaN" in refusal(file, '{"a": NaN}')


def test_a_file_is_bounded_in_size_depth_and_parts(file: Path) -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "aliases included" in refusal(file, "\n".join(bomb))
    assert "too deep" in refusal(file, "[" * 100_000)
    assert "too deep" in refusal(file, '{"a":' * 100_000)
    assert "too deep" in refusal(file, "".join(f"{' ' * n}a:\n" for n in range(100)))
    assert "the most" in refusal(file, b"#" * (MAX_TEXT_BYTES + 1))
    assert "more than 500,000" in refusal(file, '{"a":[' + "0," * 600_000 + "0]}")
    assert "UTF-8" in refusal(file, b"\n\xff")
    assert "line 2" in refusal(file, b"\n\xff")


def test_an_alias_of_what_holds_it_is_refused(file: Path) -> None:
    assert "no anchor" in refusal(file, "a: &a {b: *a}")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ValueError, match=said):
            read_catalogue(path)


@pytest.mark.parametrize(
    "document",
    [{"a": object()}, {"a": "\ud800"}, {"openapi": "3.1.0"}, {"a": "x" * MAX_TEXT_BYTES}],
)
def test_a_value_that_is_no_catalogue_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        catalogue_of(document)


def test_a_value_that_holds_itself_is_refused() -> None:
    document: dict[str, Any] = {}
    document["a"] = document
    with pytest.raises(InvalidInput):
        catalogue_of(document)


def test_a_value_names_the_place_of_what_is_wrong() -> None:
    document: Any = parse_positioned(SHOP.encode()).value
    del document["webhooks"]["order-sent"]["post"]["summary"]
    with pytest.raises(InvalidInput) as caught:
        catalogue_of(document)
    assert [detail.field for detail in caught.value.details] == ["webhooks.order-sent.post"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=10,  # of more, most of the time goes into making them up
)


@given(value=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=5))
def test_json_is_read_as_json_and_each_value_has_a_line(value: Any) -> None:
    read = parse_positioned(json.dumps(value, indent=1).encode())
    assert read.value == value
    assert all(read.line_of((key,)) > 1 for key in value)


@given(value=st.lists(JSON, min_size=1, max_size=5))
def test_what_yaml_can_say_of_json_is_read_as_it_was_meant(value: Any) -> None:
    def meant(value: Any) -> Any:
        """Leave out what the two versions of YAML write differently without quotes."""
        if isinstance(value, dict):
            return {f"k{key}": meant(one) for key, one in value.items() if key.isalnum()}
        if isinstance(value, list):
            return [meant(one) for one in value]
        return f"t {value}" if isinstance(value, str | float) else value

    simple = meant(value)
    text = yaml.safe_dump(simple, allow_unicode=True)
    assert parse_positioned(text.encode()).value == simple


@given(text=st.text() | st.text("{}[]:,-&*a!?|>'\"\n #\t"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_positioned(text.encode(errors="replace"))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - any other text is read


def test_numbers_are_those_of_yaml_1_2() -> None:
    text = dedent("""\
        - 0o14
        - 1_000
        - 12:30
        - 1e3
        - -0.5
        - +7
        - .5
        - 1.
        - "8"
        - ~
        """)
    expected = ["0o14", "1_000", "12:30", 1e3, -0.5, 7, 0.5, 1.0, "8", None]
    assert parse_positioned(text.encode()).value == expected
