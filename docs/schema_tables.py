"""JSON Schemas as tables of fields: type, limits, default and meaning, for the reference pages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]

_BOUNDS = (
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "elements"),
    ("minProperties", "maxProperties", "properties"),
    ("minimum", "maximum", ""),
)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; bars in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def resolved(document: Node, node: Node) -> Node:
    """Follow a reference within a document, with what stands beside it."""
    if not isinstance(reference := node.get("$ref"), str):
        return node
    target: Any = document
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    return resolved(document, {**target, **{key: node[key] for key in node if key != "$ref"}})


def field_rows(
    document: Node, schema: Node, link: Callable[[str], str | None], prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Yield the fields of an object: name, type, whether it is required, and meaning.

    ``link`` returns a link to a schema that is described elsewhere, None for one that is told here.
    Fields of nested objects follow with dotted names.
    """
    schema = merged(document, schema)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if field.get("readOnly") and not field.get("type"):
            continue  # taken and ignored
        told = resolved(document, field)
        kind = type_of(document, field, link)
        is_required = "yes" if name in required else ""
        yield f"`{prefix}{name}`", kind, is_required, _meaning(told)
        nested = told.get("items", told)
        if (
            "properties" in nested
            and link(_name_of(field) or _name_of(field.get("items", {}))) is None
        ):
            path = f"{prefix}{name}[]." if "items" in told else f"{prefix}{name}."
            yield from field_rows(document, nested, link, path)


def merged(document: Node, schema: Node) -> Node:
    """Return a schema with the fields of what it is composed of (``allOf``)."""
    schema = resolved(document, schema)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in [*schema.get("allOf", ()), {k: v for k, v in schema.items() if k != "allOf"}]:
        whole = merged(document, part) if "allOf" in part or "$ref" in part else part
        properties |= whole.get("properties", {})
        required += whole.get("required", ())
    return {**schema, "properties": properties, "required": required}


def type_of(document: Node, field: Node, link: Callable[[str], str | None]) -> str:
    """Return a field's type in a few words, as a link where it has a section of its own."""
    if (linked := link(_name_of(field))) is not None:
        return linked
    field = resolved(document, field)
    if "const" in field:
        return f"`{field['const']}`"
    for alternatives in ("oneOf", "anyOf"):
        if alternatives in field:
            kinds = [type_of(document, each, link) for each in field[alternatives]]
            return " or ".join(dict.fromkeys(kinds))
    kinds = field.get("type", "any JSON")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds:
        return f"array of {type_of(document, field.get('items', {}), link)}"
    named = [
        f"{field['format']}" if kind == "string" and "format" in field else kind for kind in kinds
    ]
    return " or ".join(named)


def _meaning(field: Node) -> str:
    """Return what a field means, with its values, limits and default."""
    parts = [" ".join(str(field.get("description", "")).split())]
    values = field.get("enum") or field.get("items", {}).get("enum")
    if values:
        parts.append(
            "One of " + ", ".join(f"`{value}`" for value in values if value is not None) + "."
        )
    parts += [*_limits(field)]
    if "default" in field:
        parts.append(f"Default: `{field['default']}`.")
    return " ".join(part for part in parts if part)


def _limits(field: Node) -> Iterator[str]:
    for least, most, unit in _BOUNDS:
        low, high = field.get(least), field.get(most)
        suffix = f" {unit}" if unit else ""
        if low is not None and high is not None:
            yield f"{low:,} to {high:,}{suffix}."
        elif high is not None:
            yield f"At most {high:,}{suffix}."
        elif low is not None and unit == "":
            yield f"At least {low:,}."
    if field.get("uniqueItems"):
        yield "No duplicates."


def _name_of(field: Node) -> str:
    """Return the name of the schema that a field refers to, or nothing."""
    reference = field.get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
