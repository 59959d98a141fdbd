"""Each example of the document is true: sent to a server, it is answered as the document shows.

The server has what the examples tell of, by the same ids. What a response shows is compared by its
fields, not by its values: those tell of other times and other keys.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest
from attrs import frozen

from tests.entrypoints.api_services import Backstage
from tests.entrypoints.checked_api import DOCUMENT, CheckedClient, operations, resolved
from tests.entrypoints.example_data import IDS, furnish, replay

Values = Mapping[str, Any]

ANY_FIELDS = {"custom_headers", "headers", "schema", "example"}
"""What is in these is not ours to say."""

BEGINNINGS = {"getOpenApi"}
"""Whose examples show only some of the fields."""

BEGINNING_A_REPLAY = {"startReplay"}
"""What can only be done while there is none."""


@frozen
class Example:
    """A request of the document, and the responses that it shows for it."""

    operation_id: str
    name: str
    media_type: str | None
    body: Any

    @property
    def operation(self) -> Values:
        """The operation as the document describes it."""
        method, path = operations()[self.operation_id]
        described: Values = DOCUMENT["paths"][path][method.lower()]
        return described

    def responds(self, status: int) -> Collection[Any]:
        """Return what the document shows for this request, where it is answered so."""
        response = resolved(self.operation["responses"][str(status)])
        shown = values_of(response.get("content", {}).get("application/json", {}))
        return [shown[self.name]] if self.name in shown else shown.values()


def examples() -> Iterator[Any]:
    """Yield each request example of each operation."""
    for operation_id, (method, path) in operations().items():
        body = DOCUMENT["paths"][path][method.lower()].get("requestBody", {})
        requests = [
            Example(operation_id, name, media_type, value)
            for media_type, content in body.get("content", {}).items()
            for name, value in values_of(content).items()
        ]
        for each in requests or [Example(operation_id, "", None, None)]:
            yield pytest.param(
                each, id=f"{operation_id} {each.name} {each.media_type or ''}".strip()
            )


def values_of(content: Values) -> Values:
    return {name: resolved(each)["value"] for name, each in content.get("examples", {}).items()}


@pytest.mark.parametrize("example", [*examples()])
async def test_it_is_answered_as_the_document_shows(
    api: CheckedClient, stage: Backstage, example: Example
) -> None:
    await furnish(stage)
    if example.operation_id not in BEGINNING_A_REPLAY:
        await replay(stage)
    method, path = operations()[example.operation_id]
    options: dict[str, Any] = {}
    if example.media_type:
        options = {"json": example.body, "headers": {"Content-Type": example.media_type}}
    response = await api.call(method, path.format_map(IDS), **options)
    assert response.status < 300, response.json
    shown = example.responds(response.status)
    only_some = example.operation_id in BEGINNINGS
    is_shown = any(shows(each, response.json, only_some=only_some) for each in shown)
    assert is_shown or not shown, response.json


def shows(shown: Any, answered: Any, *, only_some: bool = False) -> bool:
    """Tell whether what was answered has the fields of what is shown."""
    match shown, answered:
        case dict(), dict():
            same = shown.keys() <= answered.keys() if only_some else shown.keys() == answered.keys()
            inner = shown.keys() - ANY_FIELDS if same and not only_some else ()
            return same and all(shows(shown[name], answered[name]) for name in inner)
        case list(), list():
            # Each kind of entry that is shown comes; there may be others.
            return all(any(shows(each, one) for one in answered) for each in shown)
        case _:
            return type(shown) is type(answered) or {type(shown), type(answered)} == {int, float}


def test_a_field_too_many_or_too_few_is_noticed() -> None:
    shown = {"a": 1, "b": [{"c": "x"}, {"d": "y"}]}
    assert shows(shown, {"a": 2.5, "b": [{"d": ""}, {"c": ""}, {"e": 1}]})
    assert not shows(shown, {"a": 2, "b": [{"c": "x"}]})
    assert not shows(shown, {"a": 2})
    assert not shows(shown, shown | {"e": 1})
    assert not shows(shown, shown | {"a": "1"})
