"""The events that the documents publish fit the schemas of their types: no warning, no mismatch."""

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest

from tests.support.samples import EVENT_TYPES

ROOT = Path(__file__).parents[3]
PAGES = ("README.md", "docs/tutorial/quickstart.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_events_that_a_page_publishes_fit_their_schemas(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    bodies = [json.loads(body) for body in re.findall(r"-d '(\{.*?\})'", text, re.DOTALL)]
    events = [body for body in bodies if "event" in body]
    assert events
    for event in events:
        schema = dict(EVENT_TYPES[event["event"]].schema)
        jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(event["data"])
