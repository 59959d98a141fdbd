"""Events: the bytes that every webhook receives, and when an event is the same one again."""

import json
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_core.model.event import (
    Arrival,
    EventToStore,
    KnownEvent,
    arrivals,
    body_of,
    holds_data_of,
    timestamp_of,
)
from tests.support.samples import ENVIRONMENT, NOW, an_event

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())


def test_the_body_is_the_compact_envelope_with_data_as_it_came() -> None:
    event = an_event("e-1", data=b'{ "big": 123456789012345678901234567890, "a":1, "a":2 }')
    assert body_of(event) == (
        b'{"id":"e-1","type":"pipeline-created","timestamp":"2026-01-01T00:00:00.000000Z",'
        b'"environment_id":"1f81eb52-5198-4599-803e-771906343485",'
        b'"data":{ "big": 123456789012345678901234567890, "a":1, "a":2 }}'
    )


@given(st.text(min_size=1, max_size=256), st.text(min_size=1, max_size=64), JSON)
def test_the_body_is_json_whatever_the_producer_calls_its_event(
    event_id: str, event_type: str, data: bytes
) -> None:
    event = an_event(event_id, type=event_type, data=data)
    assert json.loads(body_of(event)) == {
        "id": event_id,
        "type": event_type,
        "timestamp": timestamp_of(NOW),
        "environment_id": str(ENVIRONMENT),
        "data": json.loads(data),
    }


@pytest.mark.parametrize("offset", [-12, -5, 0, 14])
def test_times_are_written_in_utc_to_the_microsecond(offset: int) -> None:
    at = NOW.astimezone(timezone(timedelta(hours=offset)))
    assert timestamp_of(at + timedelta(microseconds=5)) == "2026-01-01T00:00:00.000005Z"


@given(JSON)
def test_an_event_that_comes_again_later_is_the_same_event(data: bytes) -> None:
    event = an_event("e", data=data)
    later = attrs.evolve(event, occurred_at=datetime.fromisoformat("2027-01-01T00:00:00Z"))
    assert holds_data_of(body_of(event), later)


@given(JSON, JSON)
def test_an_event_that_comes_again_with_other_data_is_a_conflict(one: bytes, other: bytes) -> None:
    stored, again = an_event("e", data=one), an_event("e", data=other)
    assert holds_data_of(body_of(stored), again) is (one == other)


@pytest.mark.parametrize("data", [b'{"type":"job-created"}', b'{"data":{"type":"job-created"}}'])
def test_an_event_that_comes_again_with_another_type_is_a_conflict(data: bytes) -> None:
    stored = an_event("e", data=data)
    assert not holds_data_of(body_of(stored), an_event("e", type="job-created", data=data))


def test_data_inside_of_data_is_not_taken_for_the_data() -> None:
    stored = an_event("e", data=b'{"data":{}}')
    assert not holds_data_of(body_of(stored), an_event("e", data=b"{}"))


@pytest.mark.parametrize("has_body", [True, False])
def test_what_arrives_is_new_or_known_or_in_conflict_with_what_is_known(
    has_body: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Of an event without a body, which no webhook wanted, only the type can be compared."""
    events = {id_: an_event(id_, data=b'{"a":1}') for id_ in ("new", "same", "typed", "changed")}
    before = {
        "same": events["same"],
        "typed": attrs.evolve(events["typed"], type="job-created"),
        "changed": attrs.evolve(events["changed"], data=b'{"a":2}'),
    }
    known_events = {
        event.key: KnownEvent(event.type, body_of(event) if has_body else None)
        for event in before.values()
    }
    result = arrivals([EventToStore(event, None) for event in events.values()], known_events)
    assert {key[1]: arrival for key, arrival in result.items()} == {
        "new": Arrival.NEW,
        "same": Arrival.DUPLICATE,
        "typed": Arrival.CONFLICT,
        "changed": Arrival.CONFLICT if has_body else Arrival.DUPLICATE,
    }


def test_data_is_not_shown_where_events_are_printed() -> None:
    assert "secret" not in repr(an_event("e", data=b'"secret"', environment_id=UUID(int=1)))
