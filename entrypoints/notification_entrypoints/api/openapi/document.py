"""The OpenAPI document: hand-written, packaged, and what requests are validated by.

It is written as ``openapi.yaml``, and read as ``openapi.json``, which ``nox -s generate`` makes of
it: reading YAML takes thirty times as long, in every start.

Each operation says itself who may call it: which scope by the ``security`` of OpenAPI, in which
environments by the ids in its path; one that says nothing cannot be loaded.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import tzinfo
from enum import Enum
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import TypeAlias, cast

import msgspec
from attrs import field, frozen
from jsonschema_rs import Draft202012Validator, Validator

from notification_adapters.event_formats.schema_errors import DescribedSchema
from notification_adapters.event_formats.validation import instant
from notification_core.errors import Detail
from notification_core.model.caller import Scope
from notification_core.model.durations import parse_duration

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Object: TypeAlias = "dict[str, Json]"

_METHODS = ("get", "post", "put", "patch", "delete")
_MAX_DETAILS = 100
_ENVIRONMENTS = "x-environments"


@frozen
class Schema:
    """A schema of the document, compiled when something is first validated by it."""

    root: Object = field(repr=False)
    _compile: Callable[[Object], Validator] = field(repr=False)

    @cached_property
    def _described(self) -> DescribedSchema:
        # Each takes two milliseconds, and most processes use few of them.
        return DescribedSchema(self.root, self._compile(self.root), "/api/openapi.json")

    @property
    def fields(self) -> Collection[str]:
        """The fields of the object that it describes."""
        ours = cast("list[Object]", self.root["allOf"])[0]
        return _objects(_resolved(self.root, ours)["properties"]).keys()

    def validate(self, value: object) -> Sequence[Detail]:
        """Return what is wrong with a value: of each field the first thing, at most a hundred."""
        return self._described.errors(value, _MAX_DETAILS)


class Reach(Enum):
    """Whose environment a caller's must be."""

    ANY = "any"
    ALL = "all"
    ENVIRONMENT = "environment_id"
    WEBHOOK = "webhook_id"
    DELIVERY = "delivery_id"


@frozen
class AccessRule:
    """What a caller needs; ``scope`` is None where everybody may call."""

    scope: Scope | None
    reach: Reach


@frozen
class Parameter:
    """A parameter of an operation; ``type`` and ``format`` say how its text is read."""

    name: str
    where: str
    type: str
    format: str | None
    schema: Schema


@frozen
class Operation:
    """One operation: where it is, who may call it, and what it takes: a ``body``, if any.

    It is of one of the ``media_types``. Where it is not required, none at all is like an empty
    object. ``answers`` are the media types of what it answers when all is well; there are none
    where that has no body.
    """

    operation_id: str
    method: str
    path: str
    rule: AccessRule
    parameters: tuple[Parameter, ...]
    responses: frozenset[str]
    body: Schema | None
    media_types: tuple[str, ...] = ()
    body_required: bool = False


@frozen
class Document:
    """The document, and its operations."""

    root: Object = field(repr=False)
    operations: tuple[Operation, ...]

    def body_of(self, operation_id: str) -> Schema:
        """Return the schema of the body that an operation takes."""
        bodies = {operation.operation_id: operation.body for operation in self.operations}
        schema = bodies[operation_id]
        if schema is None:
            raise LookupError(operation_id)
        return schema


@lru_cache(maxsize=8)
def load_document(zone: tzinfo) -> Document:
    """Read the packaged document, once; a date-time without an offset is read in ``zone``."""
    text = files("notification_entrypoints.api.openapi").joinpath("openapi.json").read_bytes()
    document: Object = msgspec.json.decode(text)
    schema_of = _schemas_of(document, zone)
    operations = tuple(_operations(document, schema_of))
    return Document(document, operations)


_SchemaOf: TypeAlias = Callable[[Json], Schema]


def _schemas_of(document: Object, zone: tzinfo) -> _SchemaOf:
    def is_instant(text: str) -> bool:
        try:
            instant(text, zone)
        except ValueError:
            return False
        return True

    def is_duration(text: str) -> bool:
        try:
            parse_duration(text)
        except ValueError:
            return False
        return True

    formats = {"date-time": is_instant, "go-duration": is_duration}

    def compiled(root: Object) -> Validator:
        return Draft202012Validator(root, formats=formats, validate_formats=True)

    def schema_of(schema: Json) -> Schema:
        return Schema({"allOf": [schema], "components": document["components"]}, compiled)

    return schema_of


def _operations(document: Object, schema_of: _SchemaOf) -> Iterator[Operation]:
    for path, item in _objects(document["paths"]).items():
        shared = _parameters(document, item)
        for method in _METHODS:
            if isinstance(operation := item.get(method), dict):
                parameters = shared + _parameters(document, operation)
                responses = [
                    _objects(_resolved(document, response).get("content", {}))
                    for status, response in _objects(operation["responses"]).items()
                    if status.startswith("2")
                ]
                yield Operation(
                    str(operation["operationId"]),
                    method.upper(),
                    path,
                    access_rule_of(operation, path),
                    tuple(_parameter(document, node, schema_of) for node in parameters),
                    frozenset().union(*responses),
                    *_body(operation, schema_of),
                )


def access_rule_of(operation: Mapping[str, object], path: str) -> AccessRule:
    """Return the rule of an operation; raise LookupError where it does not say all of it."""
    name = operation.get("operationId")
    match operation.get("security"):
        case []:
            scope = None
        case [{"bearer": [str(needed)], **others}] if not others:
            scope = Scope(needed)
        case _:
            raise LookupError(f"{name} does not say which scope it needs, nor that it needs none.")
    # What the path names may belong to an environment; where nothing does, the document must say.
    subjects = {reach.value: reach for reach in Reach if reach not in {Reach.ANY, Reach.ALL}}
    named = [subjects[name] for name in re.findall(r"\{(\w+)\}", path) if name in subjects]
    environments = operation.get(_ENVIRONMENTS)
    if named and environments is None:
        return AccessRule(scope, named[0])
    if not named and environments in {Reach.ANY.value, Reach.ALL.value}:
        return AccessRule(scope, Reach(environments))
    raise LookupError(f"{name} must say by its path or by {_ENVIRONMENTS} where it may be called.")


def _parameters(document: Object, owner: Object) -> list[Object]:
    listed = cast("list[Object]", owner.get("parameters", []))
    return [_resolved(document, node) for node in listed]


def _resolved(document: Object, node: Object) -> Object:
    """Follow a reference within the document."""
    if not isinstance(reference := node.get("$ref"), str):
        return node
    target: Json = document
    for step in reference.removeprefix("#/").split("/"):
        target = cast("Object", target)[step]
    return cast("Object", target)


def _parameter(document: Object, parameter: Object, schema_of: _SchemaOf) -> Parameter:
    schema = cast("Mapping[str, str]", _resolved(document, cast("Object", parameter["schema"])))
    return Parameter(
        str(parameter["name"]),
        str(parameter["in"]),
        schema["type"],
        schema.get("format"),
        schema_of(parameter["schema"]),
    )


def _body(operation: Object, schema_of: _SchemaOf) -> tuple[Schema | None, tuple[str, ...], bool]:
    match operation.get("requestBody"):
        case {"content": {"application/json": {"schema": schema}, **others}, **more}:
            media_types = "application/json", *map(str, others)
            return schema_of(schema), media_types, bool(more.get("required"))
        case _:
            return None, (), False


def _objects(node: Json) -> Mapping[str, Object]:
    return cast("Mapping[str, Object]", node)
