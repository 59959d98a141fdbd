"""What is in a message of a topic, and what happens to one that is not an event."""

import json
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from notification_adapters.kafka.message_reader import MessageReader
from notification_adapters.memory import ManualClock
from notification_core.errors import InvalidInput
from notification_core.model.event import MAX_EVENT_BYTES, Event
from notification_core.model.message import Message, identity_of
from tests.support.samples import CATALOGUE

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
SENT_AT = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
CLOCK = ManualClock()
read = MessageReader(CLOCK, ZoneInfo("America/Montreal"), CATALOGUE)


def message(value: bytes | None, timestamp: int = int(SENT_AT.timestamp() * 1000)) -> Message:
    return Message("t", 1, 2, timestamp, value)


def an_event(more: bytes = b"", data: bytes = b"{}") -> bytes:
    fields = b'"event":"job-created","environment_id":"%b"' % ENVIRONMENT.encode()
    return b'{%b%b,"data":%b}' % (fields, more, data)


def test_an_event_says_all_of_itself() -> None:
    event = read(
        message(an_event(b',"event_id":"e-1","occurred_at":"2026-01-15T10:00:00"', b"[1 ]"))
    )
    assert (event.event_id, event.environment_id) == ("e-1", UUID(ENVIRONMENT))
    assert (event.type, event.data) == ("job-created", b"[1 ]")
    assert event.occurred_at == datetime(2026, 1, 15, 15, tzinfo=UTC)


def test_an_event_without_an_id_is_the_same_event_when_it_is_read_again() -> None:
    sent = message(an_event())
    assert read(sent).event_id == read(sent).event_id == str(identity_of(sent))
    assert read(evolve(sent, offset=3)).event_id != read(sent).event_id


def test_an_event_without_a_time_happened_when_it_was_sent() -> None:
    assert read(message(an_event())).occurred_at == SENT_AT


@pytest.mark.parametrize("timestamp", [-1, 10**15, 2**63 - 1, -(2**63)])
def test_a_timestamp_that_is_no_time_does_not_matter(timestamp: int) -> None:
    assert read(message(an_event(), timestamp)).occurred_at == CLOCK.now()


def test_a_cloud_event_is_read_by_what_its_headers_say() -> None:
    attributes = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/s",
        "type": "job-created",
        "environmentid": ENVIRONMENT,
    }
    headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
    event = read(evolve(message(b"[1]"), headers=headers))
    assert (event.event_id, event.data, event.occurred_at) == ("e-1", b"[1]", SENT_AT)


LARGE = b'"' + b"x" * MAX_EVENT_BYTES + b'"'
POISON = {
    "no value": None,
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": an_event(data=b'"\xff"'),
    "NaN": an_event(data=b"NaN"),
    "a number that overflows": an_event(data=b"1e999"),
    "a key twice": an_event(b',"event":"job-created"'),
    "half a character": an_event(data=b'"\\ud800"'),
    "NUL": b"\0",
    "NUL in the id": an_event(b',"event_id":"a\\u0000"'),
    "10,000 levels": an_event(data=b"[" * 10_000 + b"]" * 10_000),
    "an array": b"[%b]" % an_event(),
    "no environment": b'{"event":"job-created","data":{}}',
    "another environment": an_event().replace(ENVIRONMENT.encode(), b"5"),
    "an unknown type": an_event().replace(b"job-created", b"job-eaten"),
    "no data": an_event()[:-11] + b"}",
    "an unknown field": an_event(b',"extra":1'),
    "a long integer as the id": an_event(b',"event_id":' + b"9" * 5000),
    "more than 1 MiB": an_event(data=LARGE),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
def test_what_is_not_an_event_is_refused(poison: bytes | None) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(message(poison))
    assert str(refused.value)


def test_a_long_integer_in_the_data_is_the_customers_business() -> None:
    assert read(message(an_event(data=b"9" * 5000))).data == b"9" * 5000


# The scenarios of the CloudEvents conformance suite's Kafka protocol binding, with the type and the
# environment that an event has here.

ATTRIBUTES = {
    "specversion": "1.0",
    "id": "1234-1234-1234",
    "source": "/mycontext/subcontext",
    "type": "job-created",
    "time": "2018-04-05T03:56:24Z",
    "environmentid": ENVIRONMENT,
}
PAYLOAD = b'{"message": "Hello World!"}'
EXPECTED = Event(
    "1234-1234-1234",
    UUID(ENVIRONMENT),
    "job-created",
    datetime(2018, 4, 5, 3, 56, 24, tzinfo=UTC),
    PAYLOAD,
)


def test_binary_content_mode() -> None:
    headers = tuple((f"ce_{name}", value.encode()) for name, value in ATTRIBUTES.items())
    content_type = ("content-type", b"application/json")
    assert read(evolve(message(PAYLOAD), headers=(*headers, content_type))) == EXPECTED


@pytest.mark.parametrize("charset", [b"", b"; charset=utf-8"])
def test_structured_content_mode(charset: bytes) -> None:
    attributes = json.dumps({**ATTRIBUTES, "datacontenttype": "application/json"}, indent=4)
    value = attributes.removesuffix("\n}").encode() + b',\n    "data": ' + PAYLOAD + b"\n}"
    headers = (("content-type", b"application/cloudevents+json" + charset),)
    assert read(evolve(message(value), headers=headers)) == EXPECTED
