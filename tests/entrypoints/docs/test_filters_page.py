"""The filters that the page on filters shows are taken, and mean what it says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from notification_adapters.event_formats.filter_compiler import JsonSchemaFilterCompiler
from notification_adapters.memory import ManualClock
from notification_core.ingest.event_filters import EventFilters
from notification_core.model.event_filter import MAX_COMPARISONS, weight_of

PAGE = (Path(__file__).parents[3] / "docs/how-to/filters.md").read_text()
FAILED, PROGRESS, ARTICLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


def body(event_type: str, data: Any) -> bytes:
    return json.dumps({"id": "1", "type": event_type, "data": data}).encode()


@pytest.mark.parametrize(
    ("text", "event_type", "data", "matches"),
    [
        (FAILED, "job-completed", {"status": "failed"}, True),
        (FAILED, "job-completed", {"status": "succeeded"}, False),
        (FAILED, "job-completed", {}, False),
        (PROGRESS, "pipeline-download-progress", {"progress": 50}, True),
        (PROGRESS, "pipeline-download-progress", {"progress": 49.5}, False),
        (PROGRESS, "pipeline-created", {"progress": 1}, True),
        (ARTICLES, "order-placed", {"items": [{"article": "C"}, {"article": "B-4"}]}, True),
        (ARTICLES, "order-placed", {"items": [{"article": "C"}, {}]}, False),
        (ARTICLES, "order-placed", {}, False),
    ],
)
async def test_an_example_lets_through_what_the_page_says(
    text: str,
    event_type: str,
    data: object,
    matches: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    filters = EventFilters(JsonSchemaFilterCompiler(), ManualClock())
    assert not filters.validate(text)
    assert bool(await filters.matching([text], body(event_type, data))) == matches


@pytest.mark.parametrize(
    ("text", "values"),
    [('{"contains": {"const": "A-17"}}', 50_000), ('{"items": {"minimum": 5}}', 3_571)],
)
def test_the_page_says_how_many_values_are_looked_at(text: str, values: int) -> None:
    said = " ".join(PAGE.split())
    assert f"`{text}` comes to {values:,}" in said or f"`{text}` to {values:,}" in said
    assert MAX_COMPARISONS // weight_of(text) == values
