"""What an event catalogue is: an OpenAPI 3.1 document whose webhooks are the event types.

``webhooks.<type>.post`` has ``summary``, ``description``, ``deprecated``, and in
``requestBody.content['application/json']`` the ``schema`` and the ``example`` of an event's
``data``. A ``$ref`` leads into the same document; of what a schema refers to, a copy stands in
its ``$defs``, so that it can be read alone. What else a document has is skipped.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from notification_core.errors import InvalidInput
from notification_core.model.event import MAX_EVENT_BYTES
from notification_core.model.event_types import (
    RESERVED_EVENT_TYPES,
    EventCatalogue,
    EventType,
    Json,
)

MAX_EVENT_TYPES = 1_000
MAX_SCHEMA_BYTES = 16 * 1024 * 1024
"""The bytes of all schemas together, each with all that it refers to."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What an event type may be called."""

GENERATED = "x-generated"
"""What marks the webhooks of a document that was made of a catalogue."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Place = tuple[str | int, ...]
"""Where something stands in a document: the names and indexes that lead there."""

_MAX_PROBLEMS = 20
_MAX_HOPS = 8
_MAX_SHOWN = 64
_JSON_BODY = ("requestBody", "content", "application/json")
_COMPONENTS = ("components", "schemas")
_REFERENCE = "#/components/schemas/"
_DIALECTS = {DIALECT, "https://spec.openapis.org/oas/3.1/dialect/base"}
# Where a schema holds other schemas (JSON Schema 2020-12, core and validation).
_MAPS = {"$defs", "properties", "patternProperties", "dependentSchemas"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_SCHEMAS = {
    *("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
    *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
}
_UNSUPPORTED = {"$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveRef"}

_Object = dict[str, Json]


class CatalogueProblem(NamedTuple):
    """One thing that is wrong with a catalogue, and where."""

    place: Place
    message: str


class InvalidCatalogue(InvalidInput):
    """A catalogue that is refused, with the first of its ``problems``."""

    def __init__(self, problems: Sequence[CatalogueProblem]) -> None:
        super().__init__("; ".join(f"{written(place)}: {message}" for place, message in problems))
        self.problems = tuple(problems)


def parse_catalogue(
    document: Json, origin: str = "", reserved: Collection[str] = RESERVED_EVENT_TYPES
) -> EventCatalogue:
    """Return the catalogue that a document is; raise :class:`InvalidCatalogue`.

    It must have none of the ``reserved`` names. The document is not nested so deeply that it could
    not be written as JSON again. Whether its schemas are JSON Schemas, and its examples fit them,
    is for a validator to say.
    """
    parser = _Parser(document, reserved)
    types = {event_type.name: event_type for event_type in parser.event_types()}
    if parser.problems:
        raise InvalidCatalogue(parser.problems[:_MAX_PROBLEMS])
    return EventCatalogue(types, origin)


def written(place: Place) -> str:
    """Return a place as people write it, such as ``webhooks.order-placed.post``."""
    return "".join(map(_step, place)).removeprefix(".") or "the document"


def _step(step: str | int) -> str:
    if isinstance(step, str) and re.fullmatch(r"[\w$-]{1,64}", step):
        return f".{step}"
    return f"[{step[:_MAX_SHOWN] if isinstance(step, str) else step!r}]"


def schema_place(name: str, path: Sequence[str | int] = ()) -> Place:
    """Return where something stands in a document that stands at a path of a type's schema."""
    match path:
        case ["$defs", component, *rest]:
            return (*_COMPONENTS, component, *rest)
        case _:
            return ("webhooks", name, "post", *_JSON_BODY, "schema", *path)


def with_references(schema: Json, old: str, new: str) -> Json:
    """Return a schema whose references begin with ``new`` where they began with ``old``."""
    if not isinstance(schema, dict):
        return schema
    result: _Object = {}
    for key, value in schema.items():
        match value:
            case str() if key == "$ref" and value.startswith(old):
                result[key] = new + value.removeprefix(old)
            case dict() if key in _SCHEMAS:
                result[key] = with_references(value, old, new)
            case dict() if key in _MAPS:
                result[key] = {name: with_references(one, old, new) for name, one in value.items()}
            case list() if key in _LISTS:
                result[key] = [with_references(one, old, new) for one in value]
            case _:
                result[key] = value
    return result


class _Parser:
    """Reads one document; what is wrong with it is in ``problems``."""

    def __init__(self, document: Json, reserved: Collection[str]) -> None:
        self.problems: list[CatalogueProblem] = []
        self._reserved = reserved
        self._document = document
        self._components: dict[str, tuple[Json, Mapping[str, None], int]] = {}
        self._schema_bytes = 0

    def event_types(self) -> Iterator[EventType]:
        """Yield the event types that are right."""
        document = self._document
        if not isinstance(document, dict):
            self._add((), "A catalogue is an OpenAPI 3.1 document: an object with webhooks.")
            return
        version, webhooks = document.get("openapi"), document.get("webhooks")
        if not isinstance(version, str) or not re.fullmatch(r"3\.1(\.\d+)?", version):
            self._add(("openapi",), "A catalogue is an OpenAPI 3.1 document: give 3.1.0.")
        elif not isinstance(webhooks, dict) or not webhooks:
            self._add(("webhooks",), "Give an object with at least one event type.")
        elif len(webhooks) > MAX_EVENT_TYPES:
            message = f"There are {len(webhooks):,} event types; {MAX_EVENT_TYPES:,} are the most."
            self._add(("webhooks",), message)
        elif any(isinstance(item, dict) and GENERATED in item for item in webhooks.values()):
            message = (
                f"These webhooks were generated from a catalogue ({GENERATED}), with the whole "
                "request that a receiver gets: give the catalogue itself, whose schemas are of data"
            )
            self._add(("webhooks",), f"{message}.")
        else:
            yield from self._types(webhooks)

    def _types(self, webhooks: _Object) -> Iterator[EventType]:
        for name, item in webhooks.items():
            known = len(self.problems)
            if not NAME.fullmatch(name):
                message = (
                    "The name of an event type begins with a letter or a digit and has at most 64 "
                    "letters, digits, '.', '_' and '-'."
                )
                self._add(("webhooks", name), message)
            if name in self._reserved:
                self._add(("webhooks", name), "This name is that of an operational event.")
            event_type = self._event_type(name, item)
            if len(self.problems) == known and event_type is not None:
                yield event_type
            if self._schema_bytes > MAX_SCHEMA_BYTES:
                message = (
                    f"The schemas, each with all that it refers to, have more than "
                    f"{MAX_SCHEMA_BYTES:,} bytes together."
                )
                self._add(("webhooks",), message)
                return

    def _event_type(self, name: str, item: Json) -> EventType | None:
        place: Place = ("webhooks", name)
        post = self._object(self._object(item, place), place, "post")
        place = (*place, "post")
        content = self._object(post, place, *_JSON_BODY[:1])
        for depth, step in enumerate(_JSON_BODY[1:], 1):
            content = self._object(content, (*place, *_JSON_BODY[:depth]), step)
        if post is None or content is None:
            return None
        place_of_content = (*place, *_JSON_BODY)
        texts = {key: post.get(key) for key in ("summary", "description")}
        for key, text in texts.items():
            if text is not None and not isinstance(text, str):
                self._add((*place, key), "This is not text.")
        description = texts["description"] or texts["summary"]
        if not description:
            self._add(place, "Give a description or a summary: what this type of event means.")
        deprecated = post.get("deprecated", False)
        if not isinstance(deprecated, bool):
            self._add((*place, "deprecated"), "Give true or false.")
        if "example" not in content:
            self._add(place_of_content, "Give an example of data: it is what a test sends.")
        elif len(json.dumps(content["example"])) > MAX_EVENT_BYTES:
            message = f"An event has at most {MAX_EVENT_BYTES:,} bytes; this example has more."
            self._add((*place_of_content, "example"), message)
        if not isinstance(schema := content.get("schema"), dict):
            message = "Give the JSON Schema of data, as an object; {} allows any data."
            self._add((*place_of_content, "schema"), message)
            return None
        summary = texts["summary"] or None
        return EventType(
            name,
            str(description),
            self._bundled(schema, schema_place(name)),
            content.get("example"),
            str(summary) if summary else None,
            bool(deprecated),
        )

    def _object(self, owner: Json, place: Place, name: str | None = None) -> _Object | None:
        """Return a member of an object, or the object itself; follow where it refers to another."""
        node = owner
        if name is not None:
            if not isinstance(owner, dict):
                return None
            place, node = (*place, name), owner.get(name)
        for _ in range(_MAX_HOPS):
            if not isinstance(node, dict):
                self._add(place, "Give an object here." if node is not None else "This is missing.")
                return None
            if "$ref" not in node:
                return node
            place, known = (*place, "$ref"), len(self.problems)
            node = self._target(node["$ref"], place)
            if len(self.problems) > known:
                return None
        self._add(place, f"This leads over more than {_MAX_HOPS} references.")
        return None

    def _target(self, reference: Json, place: Place) -> Json:
        """Return what a reference leads to; None, and a problem more, where that is nothing."""
        if not isinstance(reference, str) or not reference.startswith("#/"):
            self._add(place, "A $ref leads into this document, and begins with '#/'.")
            return None
        node: Json = self._document
        for step in reference.removeprefix("#/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            match node:
                case dict() if key in node:
                    node = node[key]
                case list() if key.isdecimal() and int(key[:9]) < len(node):
                    node = node[int(key[:9])]
                case _:
                    message = f"There is no {reference[:_MAX_SHOWN]!r} in this document."
                    self._add(place, message)
                    return None
        return node

    def _bundled(self, schema: _Object, place: Place) -> _Object:
        """Return a schema that can be read alone, with what it refers to, and count its bytes."""
        names: dict[str, None] = {}
        root = cast("_Object", self._rewritten(schema, place, names))
        self._schema_bytes += len(json.dumps(root))
        definitions: _Object = {}
        while names and self._schema_bytes <= MAX_SCHEMA_BYTES:
            name, _ = names.popitem()
            if name not in definitions:
                if name not in self._components:
                    more: dict[str, None] = {}
                    component = self._target(f"{_REFERENCE}{name}", place)
                    rewritten = self._rewritten(component, (*_COMPONENTS, name), more)
                    size = len(json.dumps([name, rewritten]))
                    self._components[name] = rewritten, more, size
                definitions[name], others, size = self._components[name]
                self._schema_bytes += size
                names |= others
        # Nothing can refer to definitions of the schema's own: a reference leads to a component.
        root.pop("$defs", None)
        if definitions:
            root["$defs"] = definitions
        return {"$schema": DIALECT, **root}

    def _rewritten(self, schema: Json, place: Place, names: dict[str, None]) -> Json:
        """Return a copy that refers to components as to its own; add their names."""
        if not isinstance(schema, dict):
            if not isinstance(schema, bool):
                self._add(place, "Give a JSON Schema here: an object, true or false.")
            return schema
        self._check_keywords(schema, place)
        result: _Object = {}
        for key, value in schema.items():
            here = (*place, key)
            if key in _SCHEMAS:
                result[key] = self._rewritten(value, here, names)
            elif key in _MAPS and isinstance(value, dict):
                result[key] = {
                    name: self._rewritten(one, (*here, name), names) for name, one in value.items()
                }
            elif key in _LISTS and isinstance(value, list):
                result[key] = [
                    self._rewritten(one, (*here, index), names) for index, one in enumerate(value)
                ]
            elif key != "$schema":
                result[key] = self._reference(value, here, names) if key == "$ref" else value
        return result

    def _check_keywords(self, schema: _Object, place: Place) -> None:
        for key in sorted(_UNSUPPORTED & schema.keys()):
            message = f"{key} is not supported: a schema is found by its place, with $ref."
            self._add((*place, key), message)
        if schema.get("$schema", DIALECT) not in _DIALECTS:
            message = f"Schemas are JSON Schema 2020-12: give {DIALECT}, or leave this out."
            self._add((*place, "$schema"), message)

    def _reference(self, reference: Json, place: Place, names: dict[str, None]) -> Json:
        if self._target(reference, place) is None:
            return reference
        path = str(reference).removeprefix(_REFERENCE)
        name = path.partition("/")[0]
        if path == reference or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            message = f"A $ref of a schema leads to one below {_REFERENCE}, of letters, digits, ._-"
            self._add(place, message)
            return reference
        names[name] = None
        return f"#/$defs/{path}"

    def _add(self, place: Place, message: str) -> None:
        if len(self.problems) <= _MAX_PROBLEMS:
            self.problems.append(CatalogueProblem(place, message))
