"""The page of the API's operations, made from its OpenAPI document."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")


def api_page(document: Node) -> Sequence[str]:
    """Return the parts of the page, tag by tag."""
    intro = "The server shows the same, to be tried out, at `/api/docs`. Paths are below `/api`."
    parts = ["# API", document["info"]["description"].strip(), intro]
    for tag in document.get("tags", ()):
        parts.append(f"## {tag['name']}\n\n{tag['description']}")
        for method, path, operation in _operations(document):
            if tag["name"] in operation["tags"]:
                parts += _operation(document, method, path, operation)
    return parts


def _operations(document: Node) -> Iterator[tuple[str, str, Node]]:
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method in METHODS:
            if operation := item.get(method):
                parameters = [*shared, *operation.get("parameters", [])]
                yield method.upper(), path, {**operation, "parameters": parameters}


def _operation(document: Node, method: str, path: str, operation: Node) -> Iterator[str]:
    yield f"### {operation['summary']}\n\n`{method} {path}`"
    yield operation["description"].strip()
    yield _needed(operation)
    if parameters := [_resolved(document, each) for each in operation["parameters"]]:
        yield "\n".join(_parameter(each) for each in parameters)
    body = operation.get("requestBody", {}).get("content", {})
    yield from _example(document, body, "Request")
    responses = {
        status: _resolved(document, each) for status, each in operation["responses"].items()
    }
    yield "\n".join(f"- {_status(status)}: {_line(each)}" for status, each in responses.items())
    for status, response in responses.items():
        if status.startswith("2"):
            yield from _example(document, response.get("content", {}), f"Answer {status}")


def _needed(operation: Node) -> str:
    """Say who may call an operation."""
    match operation["security"]:
        case [{"bearer": [scope]}]:
            everywhere = operation.get("x-environments") == "all"
            return f"Needs the scope `{scope}`{', for all environments' if everywhere else ''}."
        case _:
            return "Needs no credential."


def _parameter(parameter: Node) -> str:
    kind = "in the path" if parameter["in"] == "path" else f"in the {parameter['in']}"
    return f"- `{parameter['name']}` ({kind}): {_line(parameter)}"


def _status(status: str) -> str:
    return "Other errors" if status == "default" else f"**{status}**"


def _line(described: Node) -> str:
    """Return a description on one line."""
    return " ".join(str(described.get("description", "")).split())


def _example(document: Node, content: Node, title: str) -> Iterator[str]:
    """Yield the first example of a body in JSON."""
    examples = content.get("application/json", {}).get("examples", {})
    for each in list(examples.values())[:1]:
        text = json.dumps(_resolved(document, each)["value"], indent=2, ensure_ascii=False)
        yield f"{title}:\n\n```json\n{text}\n```"


def _resolved(document: Node, node: Node) -> Node:
    """Follow a reference within the document."""
    if not isinstance(reference := node.get("$ref"), str):
        return node
    target: Any = document
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    resolved: Node = target
    return resolved
