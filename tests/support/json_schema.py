"""What filters mean, said as plainly as possible: JSON Schema 2020-12 without what they cannot say.

It is what the compiler is compared with; it has no limits and no speed.
"""

import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "number": is_number,
    "integer": lambda value: is_number(value) and value == int(value),
}


def same(left: object, right: object) -> bool:
    """Tell whether two values are the same JSON: 1 is 1.0, and not true."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return (
        (is_number(left) == is_number(right))
        and type(left) in {type(right), int, float}
        and (left == right)
    )


def is_valid(schema: Any, value: Any) -> bool:
    """Tell whether a value is valid under a schema."""
    if isinstance(schema, bool):
        return schema
    return all(
        _RULES[keyword](argument, value, schema)
        for keyword, argument in schema.items()
        if keyword in _RULES
    )


def _of(type_name: str, rule: Callable[[Any, Any], bool]) -> Callable[[Any, Any, Any], bool]:
    """Return a rule that holds for whatever is not of a type."""
    return lambda argument, value, _: not _TYPES[type_name](value) or rule(argument, value)


def _contains(argument: Any, value: Any, schema: Any) -> bool:
    if not isinstance(value, list):
        return True
    found = sum(is_valid(argument, item) for item in value)
    least, most = schema.get("minContains", 1), schema.get("maxContains", len(value))
    return bool(least <= found <= most)


def _items(argument: Any, value: Any, schema: Any) -> bool:
    if not isinstance(value, list):
        return True
    return all(is_valid(argument, item) for item in value[len(schema.get("prefixItems", ())) :])


def _additional(argument: Any, value: Any, schema: Any) -> bool:
    if not isinstance(value, dict):
        return True
    known = schema.get("properties", {})
    return all(is_valid(argument, member) for name, member in value.items() if name not in known)


def _branch(argument: Any, value: Any, schema: Any) -> bool:
    return is_valid(schema.get("then" if is_valid(argument, value) else "else", True), value)


_RULES: Mapping[str, Callable[[Any, Any, Any], bool]] = {
    "type": lambda names, value, _: any(
        _TYPES[name](value) for name in ([names] if isinstance(names, str) else names)
    ),
    "const": lambda wanted, value, _: same(wanted, value),
    "enum": lambda choices, value, _: any(same(choice, value) for choice in choices),
    "minimum": _of("number", lambda bound, value: value >= bound),
    "maximum": _of("number", lambda bound, value: value <= bound),
    "exclusiveMinimum": _of("number", lambda bound, value: value > bound),
    "exclusiveMaximum": _of("number", lambda bound, value: value < bound),
    "multipleOf": _of(
        "number",
        lambda step, value: (
            (Fraction(json.dumps(value)) / Fraction(json.dumps(step))).denominator == 1
        ),
    ),
    "minLength": _of("string", lambda least, value: len(value) >= least),
    "maxLength": _of("string", lambda most, value: len(value) <= most),
    "pattern": _of("string", lambda pattern, value: re.search(pattern, value) is not None),
    "minItems": _of("array", lambda least, value: len(value) >= least),
    "maxItems": _of("array", lambda most, value: len(value) <= most),
    "prefixItems": _of("array", lambda schemas, value: all(map(is_valid, schemas, value))),
    "items": _items,
    "contains": _contains,
    "minProperties": _of("object", lambda least, value: len(value) >= least),
    "maxProperties": _of("object", lambda most, value: len(value) <= most),
    "required": _of("object", lambda names, value: value.keys() >= set(names)),
    "dependentRequired": _of(
        "object",
        lambda needs, value: all(
            value.keys() >= set(names) for name, names in needs.items() if name in value
        ),
    ),
    "dependentSchemas": _of(
        "object",
        lambda needs, value: all(
            is_valid(schema, value) for name, schema in needs.items() if name in value
        ),
    ),
    "propertyNames": _of(
        "object", lambda schema, value: all(is_valid(schema, name) for name in value)
    ),
    "properties": _of(
        "object",
        lambda schemas, value: all(
            is_valid(schema, value[name]) for name, schema in schemas.items() if name in value
        ),
    ),
    "additionalProperties": _additional,
    "allOf": lambda schemas, value, _: all(is_valid(schema, value) for schema in schemas),
    "anyOf": lambda schemas, value, _: any(is_valid(schema, value) for schema in schemas),
    "oneOf": lambda schemas, value, _: sum(is_valid(schema, value) for schema in schemas) == 1,
    "not": lambda schema, value, _: not is_valid(schema, value),
    "if": _branch,
}
