"""Filters: the JSON Schema that an event's whole body must match to be sent to a webhook.

What may stand in one is bounded, so that whatever it is applied to is checked soon: see
:func:`filter_errors` for a filter as it is written, :func:`is_affordable` for a body.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from notification_core.errors import Detail

Schema: TypeAlias = Any
"""An object of keywords, as it is parsed; within another one it may be true or false, too."""

MAX_FILTER_BYTES: Final = 16 * 1024
MAX_SUBSCHEMAS: Final = 64
MAX_FILTER_DEPTH: Final = 16
MAX_PATTERNS: Final = 8
MAX_PATTERN_TEXT: Final = 1000
"""Characters of a string in which a pattern is searched; a longer string does not match any."""

MAX_MAGNITUDE: Final = 1e40
"""Numbers are below this, and their reciprocals: the time to compare grows with the exponent."""

MAX_COMPARISONS: Final = 150_000
"""How often the parts of a filter that repeat may be compared with the values of a body."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# Where a keyword holds schemas: one, a list of them, or an object of them.
_ONE: Final = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
)
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_OBJECTS: Final = frozenset({"dependentSchemas", "properties"})
_VALUES: Final = frozenset(
    {
        "$comment", "$schema", "const", "dependentRequired", "description", "enum",
        "exclusiveMaximum", "exclusiveMinimum", "maxContains", "maxItems", "maxLength",
        "maxProperties", "maximum", "minContains", "minItems", "minLength", "minProperties",
        "minimum", "multipleOf", "pattern", "required", "title", "type",
    }
)  # fmt: skip
KEYWORDS: Final = _ONE | _LISTS | _OBJECTS | _VALUES
"""All that a filter may say."""

_REPEATING: Final = frozenset({"additionalProperties", "contains", "items", "propertyNames"})
# Numbers are compared exactly, as fractions, which takes many times as long as a text does.
_NUMBER_WEIGHT: Final = 40

_REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "$defs": "A filter has no references. Write the schema where it is needed.",
        "$dynamicRef": "A filter has no references. Write the schema where it is needed.",
        "$ref": "A filter has no references. Write the schema where it is needed.",
        "format": "A format is not checked. Use a pattern.",
        "patternProperties": "Names are not searched. Use properties, or propertyNames with enum.",
        "unevaluatedItems": "This is not available in a filter. Use items.",
        "unevaluatedProperties": "This is not available in a filter. Use additionalProperties.",
        "uniqueItems": "This is not available in a filter: it compares all items with each other.",
    }
)


def filter_errors(text: str) -> Iterator[Detail]:
    """Yield what is wrong with the text of a filter, each with its place in the filter.

    Whether the value of a keyword is one that it can have, a :class:`FilterCompiler` tells.
    """
    size = len(text.encode(errors="replace"))
    if size > MAX_FILTER_BYTES:
        yield Detail("filter", f"The filter has {size:,} bytes. Give at most {MAX_FILTER_BYTES:,}.")
        return
    try:
        schema = json.loads(text, parse_float=bounded_float, parse_int=bounded_int)
        json.dumps(schema, ensure_ascii=False).encode()  # Refuses halves of characters.
    except (ValueError, RecursionError) as error:
        yield Detail("filter", f"This cannot be read as a filter: {error}.")
        return
    yield from _Check().errors(schema, "filter", 1, repeats=False)


def bounded_float(text: str) -> float:
    """Return a number with a fraction or an exponent; raise ValueError for one out of bounds."""
    number = float(text)
    if number and not 1 / MAX_MAGNITUDE < abs(number) < MAX_MAGNITUDE:
        raise ValueError("a number is not between 1e-40 and 1e40")
    return number


def bounded_int(text: str) -> int:
    """Return a whole number; raise ValueError for one out of bounds."""
    bounded_float(text)
    return int(text)


def weight_of(text: str) -> int:
    """Return how much each value of a body may cost: what a filter says below repeating keywords.

    A text counts once and a number forty times.
    """
    return _repeating_size(json.loads(text))


def is_affordable(weight: int, body: bytes) -> bool:
    """Tell whether a filter of this weight is applied to a body: not to one with too many values.

    Each value but the first comes after a comma or begins an array or an object.
    """
    if weight == 0:
        return True
    values = 1 + body.count(b",") + body.count(b"[") + body.count(b"{")
    return weight * values <= MAX_COMPARISONS


def map_schemas(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return a schema of valid form with each schema in it changed, the innermost first."""
    if isinstance(schema, bool):
        return schema
    changed: Schema = {}
    for keyword, value in schema.items():
        if keyword in _ONE:
            changed[keyword] = map_schemas(value, change)
        elif keyword in _LISTS:
            changed[keyword] = [map_schemas(each, change) for each in value]
        elif keyword in _OBJECTS:
            changed[keyword] = {name: map_schemas(each, change) for name, each in value.items()}
        else:
            changed[keyword] = value
    return change(changed)


class _Check:
    """Walks through a filter once and counts what is in it."""

    def __init__(self) -> None:
        self._subschemas = 0
        self._patterns = 0

    def errors(self, schema: object, place: str, depth: int, *, repeats: bool) -> Iterator[Detail]:
        """Yield what is wrong with a schema at a place, and with those within it."""
        self._subschemas += 1
        if self._subschemas == MAX_SUBSCHEMAS + 1:
            yield Detail(place, f"These are too many schemas. Give at most {MAX_SUBSCHEMAS}.")
        if self._subschemas > MAX_SUBSCHEMAS:
            return
        if depth > MAX_FILTER_DEPTH:
            yield Detail(place, f"This is too deep. Nest at most {MAX_FILTER_DEPTH} schemas.")
            return
        if not isinstance(schema, dict):
            if not isinstance(schema, bool) or depth == 1:
                yield Detail(place, "This is not a schema. Give an object.")
            return
        for keyword, value in schema.items():
            at = f"{place}.{keyword[:64]}"
            yield from self._keyword_errors(keyword, value, at, repeats=repeats)
            for within, subschema in _subschemas(keyword, value):
                yield from self.errors(
                    subschema, at + within, depth + 1, repeats=repeats or keyword in _REPEATING
                )

    def _keyword_errors(
        self, keyword: str, value: object, place: str, *, repeats: bool
    ) -> Iterator[Detail]:
        if keyword not in KEYWORDS:
            known = f"There is no such keyword. The keywords are {', '.join(sorted(KEYWORDS))}."
            yield Detail(place, _REFUSED.get(keyword, known))
        elif keyword == "$schema" and value != DIALECT:
            yield Detail(place, f"This is another dialect. Give {DIALECT}, or leave it out.")
        elif keyword == "pattern":
            self._patterns += 1
            if repeats:
                yield Detail(place, "Patterns are not searched in each item. Use const or enum.")
            elif self._patterns == MAX_PATTERNS + 1:
                yield Detail(place, f"There are too many patterns. Give at most {MAX_PATTERNS}.")


def _subschemas(keyword: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the schemas that a keyword holds, each with its place within the keyword."""
    if keyword in _ONE:
        yield "", value
    elif keyword in _LISTS and isinstance(value, list):
        yield from ((f"[{index}]", schema) for index, schema in enumerate(value))
    elif keyword in _OBJECTS and isinstance(value, dict):
        yield from ((f".{name[:64]}", schema) for name, schema in value.items())


def _repeating_size(schema: object) -> int:
    if isinstance(schema, list):
        return sum(map(_repeating_size, schema))
    if not isinstance(schema, dict):
        return 0
    return sum(
        _size(value) if keyword in _REPEATING else _repeating_size(value)
        for keyword, value in schema.items()
    )


def _size(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + _size(member) for member in value.values())
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return _NUMBER_WEIGHT if isinstance(value, int | float) else 1
