"""Filters by jsonschema-rs, whose patterns are of the linear ``regex`` engine."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import jsonschema_rs
import msgspec

from notification_adapters.event_formats.schema_errors import errors_of, is_short
from notification_core.errors import Detail, InvalidFilter, UnrepresentableBody
from notification_core.model.event_filter import (
    MAX_PATTERN_TEXT,
    Schema,
    bounded_float,
    bounded_int,
    map_schemas,
)
from notification_core.ports.filter_compiler import CompiledFilter, FilterCompiler

# Bytes of a compiled pattern and of the automaton that is made of it while it is searched.
_PATTERN_SIZE: Final = 8 * 1024
_AUTOMATON_SIZE: Final = 64 * 1024

_decode = msgspec.json.Decoder().decode
# Twenty digits or an exponent of twenty: all that is out of bounds has one. Texts may have it, too.
_EXTREME = re.compile(rb"[\[:,]\s*-?(?:[0-9.]{20}|[0-9.]+[eE][-+]?0*(?:[2-9][0-9]|[0-9]{3}))")


class JsonSchemaFilterCompiler(FilterCompiler):
    """Compiles filters to validators of JSON Schema 2020-12."""

    def compile(self, text: str) -> CompiledFilter:
        """Return a filter that is ready to be applied."""
        schema: Schema = json.loads(text)
        try:
            validator = _validator(schema)
        except jsonschema_rs.ValidationError as error:
            raise InvalidFilter("The filter is refused.", [_refusal(error)]) from error
        except ValueError as error:
            detail = Detail("filter", f"The filter cannot be compiled: {error}.")
            raise InvalidFilter("The filter is refused.", [detail]) from error
        bounded = map_schemas(schema, _with_bounded_text)
        return _JsonSchemaFilter(validator if bounded == schema else _validator(bounded))

    def parse(self, body: bytes) -> object:
        """Return a body as filters are applied to it."""
        return _parse(body)


class _JsonSchemaFilter(CompiledFilter):
    """A filter as a validator."""

    def __init__(self, validator: jsonschema_rs.Draft202012Validator) -> None:
        self._validator = validator

    def matches(self, body: object) -> bool:
        """Tell whether a parsed body matches."""
        return self._validator.is_valid(body)

    def errors(self, body: bytes, most: int) -> Sequence[Detail]:
        """Return the first places of a body at which it does not match."""
        only_first = not is_short(body)
        errors = errors_of(self._validator, _parse(body), only_first=only_first)
        return [*map(_mismatch, islice(errors, most))]


def _parse(body: bytes) -> object:
    try:
        if _EXTREME.search(body):
            return json.loads(body, parse_float=bounded_float, parse_int=bounded_int)
        return _decode(body)
    except (ValueError, RecursionError) as error:
        raise UnrepresentableBody(f"The body cannot be compared: {error}.") from error


def _validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    options = jsonschema_rs.RegexOptions(size_limit=_PATTERN_SIZE, dfa_size_limit=_AUTOMATON_SIZE)
    return jsonschema_rs.Draft202012Validator(schema, pattern_options=options)


def _with_bounded_text(schema: Schema) -> Schema:
    """Have a pattern searched in short strings only."""
    if "pattern" not in schema:
        return schema
    bounded = {keyword: value for keyword, value in schema.items() if keyword != "pattern"}
    short = {"maxLength": MAX_PATTERN_TEXT}
    search = {"if": short, "then": {"pattern": schema["pattern"]}, "else": short}
    return bounded | {"allOf": [*schema.get("allOf", ()), search]}


def _refusal(error: jsonschema_rs.ValidationError) -> Detail:
    keyword = error.instance_path[-1] if error.instance_path else ""
    message = "The keyword cannot have this value: see JSON Schema 2020-12."
    if keyword == "pattern":
        message = (
            "This is not a regular expression, or too large a one. Give one without look-around "
            f"and back-references that compiles to at most {_PATTERN_SIZE // 1024} KiB."
        )
    return Detail(_place("filter", error.instance_path), message)


def _mismatch(error: jsonschema_rs.ValidationError) -> Detail:
    path = [*error.instance_path]
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
        path.append(error.kind.property)
    where = _place("filter", error.schema_path)
    return Detail(_place("", path) or "body", f"This is not what {where} asks for.")


def _place(root: str, path: Iterable[str | int]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step[:64]}" for step in path)
    return "".join([root, *steps]).removeprefix(".")
