"""The catalogue of event types: its names, its schemas and its examples."""

import jsonschema_rs
import pytest
from attrs.exceptions import FrozenInstanceError

from notification_core.model.event_types import EventType
from tests.support.samples import EVENT_TYPES

TYPES = pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=EVENT_TYPES)


def test_the_catalogue_has_the_published_event_types_in_their_order() -> None:
    assert list(EVENT_TYPES) == [
        "pipeline-created",
        "pipeline-download-progress",
        "pipeline-extraction-progress",
        "pipeline-status-changed",
        "pipeline-completed",
        "job-created",
        "job-status-changed",
        "job-completed",
    ]


def test_each_type_stands_under_its_own_name() -> None:
    assert all(event_type.name == name for name, event_type in EVENT_TYPES.items())


@TYPES
def test_each_schema_is_a_json_schema_of_2020_12(event_type: EventType) -> None:
    assert event_type.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(dict(event_type.schema))


@TYPES
def test_each_example_matches_its_schema(event_type: EventType) -> None:
    schema = jsonschema_rs.Draft202012Validator(dict(event_type.schema), validate_formats=True)
    schema.validate(event_type.example)


@TYPES
def test_each_schema_asks_for_what_makes_the_event_useful(event_type: EventType) -> None:
    schema = jsonschema_rs.Draft202012Validator(dict(event_type.schema))
    assert not schema.is_valid({})
    assert not schema.is_valid([])


@TYPES
def test_properties_that_are_not_known_yet_have_room(event_type: EventType) -> None:
    schema = jsonschema_rs.Draft202012Validator(dict(event_type.schema))
    assert isinstance(event_type.example, dict)
    schema.validate({**event_type.example, "a_property_to_come": 1})


@TYPES
def test_each_type_says_in_a_sentence_what_it_is(event_type: EventType) -> None:
    assert event_type.description.endswith(".")
    assert event_type.schema["description"] == event_type.description


def test_the_catalogue_cannot_be_changed_by_who_reads_it() -> None:
    with pytest.raises(TypeError):
        EVENT_TYPES["mine"] = EVENT_TYPES["job-created"]  # type: ignore[index] # the point of the test
    with pytest.raises(FrozenInstanceError):
        EVENT_TYPES["job-created"].name = "mine"  # type: ignore[misc] # the point of the test
