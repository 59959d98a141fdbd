"""The pages of the API's operations and of its schemas, made from its OpenAPI document."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from schema_tables import field_rows, merged, resolved, table, type_of

Node = Mapping[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
_PARAMETER = ("parameter", "in", "type", "meaning")
_WIDTH = 90

_NAMES = table(
    ("the API", "publishing, Kafka", "the request that is sent", "what it is"),
    [
        ("`event`", "`event`", "`type`", "the event type"),
        (
            "`event_id`",
            "`event_id`",
            "`id`; header `webhook-id` is `msg_` and the id",
            "the event's id",
        ),
        ("`occurred_at`", "`occurred_at`", "`timestamp`", "when it happened"),
        ("`attempt`", "", "header `webhook-attempt`", "the number of the attempt"),
        ("`delivery_id`", "", "header `webhook-delivery`", "one event on its way to one webhook"),
        ("`log_id`", "", "", "an attempt in the log"),
    ],
)


def api_page(document: Node) -> Sequence[str]:
    """Return the parts of the page: conventions, and the operations by tag."""
    link = partial(_link, _sections(document))
    parts = [
        "# API",
        document["info"]["description"].strip(),
        "Paths are below `/api`. The server shows the same, to be tried out, at `/api/docs`.",
        f"## Names\n\nThe same thing has one name on each side:\n\n{_NAMES}",
    ]
    parameters = document["components"]["parameters"].values()
    rows = [_parameter(document, link, each) for each in parameters]
    parts.append(f"## Parameters\n\nThat several operations take:\n\n{table(_PARAMETER, rows)}")
    for tag in document.get("tags", ()):
        parts.append(f"## {tag['name']}\n\n{tag['description']}")
        for method, path, operation in _operations(document):
            if tag["name"] in operation["tags"]:
                parts += _operation(document, link, method, path, operation)
    return parts


def schemas_page(document: Node) -> Sequence[str]:
    """Return the parts of the page of the schemas: their fields."""
    link = partial(_link, _sections(document))
    parts = [
        "# API schemas",
        "What the bodies of the [API](api.md) hold. Absent fields are left out, never `null`.",
    ]
    for name in sorted(_sections(document)):
        schema = document["components"]["schemas"][name]
        parts.append(f"({_anchor(name)})=\n\n## {name}")
        parts.append(" ".join(str(schema.get("description", "")).split()))
        rows = [*field_rows(document, schema, link)]
        parts.append(table(("field", "type", "required", "meaning"), rows))
    return parts


def _sections(document: Node) -> Sequence[str]:
    """Return the schemas that have a section: objects with fields."""
    schemas = document["components"]["schemas"]
    return [name for name, schema in schemas.items() if merged(document, schema)["properties"]]


def _link(sections: Sequence[str], name: str) -> str | None:
    return f"[{name}](schemas.md#{_anchor(name)})" if name in sections else None


def _anchor(name: str) -> str:
    return f"schema-{name.lower()}"


def _operations(document: Node) -> Iterator[tuple[str, str, Node]]:
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method in METHODS:
            if operation := item.get(method):
                parameters = [*shared, *operation.get("parameters", [])]
                yield method.upper(), path, {**operation, "parameters": parameters}


def _operation(document: Node, link: Any, method: str, path: str, operation: Node) -> Iterator[str]:
    yield f"### {operation['summary']}\n\n`{method} {path}` · {_needed(operation)}"
    yield operation["description"].strip()
    shared = [resolved(document, each) for each in operation["parameters"] if "$ref" in each]
    own = [each for each in operation["parameters"] if "$ref" not in each]
    if shared:
        names = ", ".join(f"`{each['name']}`" for each in shared)
        yield f"Takes {names} ([parameters](#parameters))."
    if own:
        yield table(_PARAMETER, [_parameter(document, link, each) for each in own])
    body = operation.get("requestBody", {})
    if content := body.get("content"):
        optional = "" if body.get("required") else ", optional"
        yield f"**Request body**{optional}: {_kinds(document, link, content)}."
        yield from _example(document, content)
    responses = {s: resolved(document, each) for s, each in operation["responses"].items()}
    for status, response in responses.items():
        if not status.startswith(("2", "3")):
            continue
        kind = _kinds(document, link, response.get("content", {}))
        yield f"**Response {status}**{f' ({kind})' if kind else ''}: {_line(response)}"
        yield from _example(document, response.get("content", {}))
    yield "Errors: " + "; ".join(_errors(operation, responses)) + " ([catalogue](errors.md))."


def _errors(operation: Node, responses: Mapping[str, Node]) -> Iterator[str]:
    """Yield the statuses of errors; what is this operation's own is explained."""
    shared = [
        status
        for status, response in operation["responses"].items()
        if status.startswith(("4", "5")) and "$ref" in response
    ]
    yield ", ".join(f"`{status}`" for status in shared)
    for status, response in responses.items():
        if status.startswith(("4", "5")) and status not in shared:
            yield f"`{status}`: {_line(response).removesuffix('.')}"


def _needed(operation: Node) -> str:
    """Return which scope an operation needs."""
    match operation["security"]:
        case [{"bearer": [scope]}]:
            everywhere = operation.get("x-environments") == "all"
            return f"scope `{scope}`{' for all environments' if everywhere else ''}"
        case _:
            return "public"


def _parameter(document: Node, link: Any, parameter: Node) -> Sequence[str]:
    schema = parameter["schema"]
    meaning = _line(parameter)
    whole = resolved(document, schema)
    if values := whole.get("enum"):
        meaning += " One of " + ", ".join(f"`{value}`" for value in values) + "."
    if "maximum" in whole:
        meaning += f" {whole.get('minimum', 0)} to {whole['maximum']}."
    if "default" in whole:
        meaning += f" Default: `{whole['default']}`."
    required = "" if parameter["in"] == "path" or not parameter.get("required") else ", required"
    where = parameter["in"] + required
    return f"`{parameter['name']}`", where, type_of(document, schema, link), meaning


def _kinds(document: Node, link: Any, content: Node) -> str:
    """Return the types of a body, by media type if there are several."""
    kinds = {media: type_of(document, each["schema"], link) for media, each in content.items()}
    if len({*kinds.values()}) <= 1:
        return next(iter(kinds.values()), "")
    return "; ".join(f"`{media}`: {kind}" for media, kind in kinds.items())


def _line(described: Node) -> str:
    """Return a description on one line."""
    return " ".join(str(described.get("description", "")).split())


def _example(document: Node, content: Node) -> Iterator[str]:
    """Yield the first example of a body in JSON."""
    examples = content.get("application/json", {}).get("examples", {})
    for each in list(examples.values())[:1]:
        yield f"```json\n{_pretty(resolved(document, each)['value'])}\n```"


def _pretty(value: Any, indent: int = 0) -> str:
    """Return JSON in which what fits on a line stays on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= _WIDTH or not isinstance(value, list | dict) or not value:
        return line
    inner = " " * (indent + 2)
    if isinstance(value, list):
        parts = [f"{inner}{_pretty(each, indent + 2)}" for each in value]
        return "[\n" + ",\n".join(parts) + f"\n{' ' * indent}]"
    parts = [
        f"{inner}{json.dumps(name)}: {_pretty(each, indent + 2)}" for name, each in value.items()
    ]
    return "{\n" + ",\n".join(parts) + f"\n{' ' * indent}}}"
