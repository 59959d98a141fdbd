"""CloudEvents 1.0: what is read of them, in both modes, and what is refused."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from notification_adapters.event_formats.cloudevents import is_cloud_event, read_cloud_event
from notification_core.errors import InvalidEvent, TooLarge
from notification_core.model.event import MAX_EVENT_BYTES, Event
from notification_core.model.message import Headers
from tests.support.samples import CATALOGUE

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
ZONE = ZoneInfo("America/Montreal")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "event-1",
    "source": "/pipelines/7",
    "type": "pipeline-created",
    "time": "2026-02-03T04:05:06.789+02:00",
    "environmentid": ENVIRONMENT,
}
EVENT = Event(
    "event-1",
    UUID(ENVIRONMENT),
    "pipeline-created",
    datetime(2026, 2, 3, 2, 5, 6, 789_000, tzinfo=UTC),
    b'{ "a" : 1e2 }',
)


def read(value: bytes, headers: Headers) -> Event:
    return read_cloud_event(
        value, headers, environment_id=None, now=NOW, zone=ZONE, catalogue=CATALOGUE
    )


def structured(data: bytes = b'"data":{ "a" : 1e2 }', **changes: object) -> bytes:
    """Return a structured event whose attributes are changed, or omitted if they are ...."""
    attributes = {name: one for name, one in {**ATTRIBUTES, **changes}.items() if one is not ...}
    return json.dumps(attributes).encode()[:-1] + b"," + data + b"}"


def binary(content_type: bytes = b"application/json", **changes: bytes | None) -> Headers:
    """Return the headers of a binary event."""
    attributes = {name: value.encode() for name, value in ATTRIBUTES.items()} | changes
    named = ((f"ce_{name}", value) for name, value in attributes.items())
    return (("content-type", content_type), *named)


def refusal(value: bytes, headers: Headers) -> list[str]:
    with pytest.raises(InvalidEvent) as caught:
        read(value, headers)
    return [detail.field for detail in caught.value.details]


def test_a_structured_event_is_read_and_its_data_goes_on_as_it_came() -> None:
    assert read(structured(), STRUCTURED) == EVENT


def test_a_binary_event_is_read_and_its_data_goes_on_as_it_came() -> None:
    assert read(b'{ "a" : 1e2 }', binary()) == EVENT


def test_data_in_base64_is_decoded() -> None:
    encoded = b'"data_base64":"%b"' % b64encode(EVENT.data)
    assert read(structured(encoded, datacontenttype="application/json"), STRUCTURED) == EVENT


def test_other_attributes_and_extensions_are_skipped() -> None:
    value = structured(subject="s", dataschema="http://s/", traceparent="00-1", n=5, yes=True)
    assert read(value, STRUCTURED) == EVENT
    assert read(EVENT.data, (*binary(), ("ce_traceparent", b"00-1"), ("other", None))) == EVENT


def test_an_event_without_a_time_happened_now() -> None:
    assert read(structured(time=...), STRUCTURED).occurred_at == NOW
    assert read(b"1", binary(time=None)).occurred_at == NOW


def test_a_partition_key_is_the_ordering_key() -> None:
    assert read(structured(partitionkey="order 7"), STRUCTURED).ordering_key == "order 7"
    assert read(b"1", (*binary(), ("ce_partitionkey", b"order 7"))).ordering_key == "order 7"
    assert read(structured(), STRUCTURED).ordering_key is None
    assert refusal(structured(partitionkey=""), STRUCTURED) == ["partitionkey"]
    assert refusal(structured(partitionkey="x" * 257), STRUCTURED) == ["partitionkey"]
    assert refusal(structured(partitionkey=7), STRUCTURED) == ["partitionkey"]


def test_a_null_says_that_an_attribute_is_not_set() -> None:
    assert read(structured(time=None, subject=None), STRUCTURED).occurred_at == NOW
    assert refusal(structured(id=None), STRUCTURED) == ["id"]


def test_what_is_awkward_in_data_is_the_customers_business() -> None:
    data = b'{"n":' + b"9" * 5000 + b',"a":1,"a":"\\u0000"}'
    assert read(data, binary()).data == data
    assert read(structured(b'"data":' + data), STRUCTURED).data == data


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/cloudevents+json; charset=utf-8",
        b"Application/CloudEvents+JSON",
        b"application/cloudevents+avro",
        b"application/cloudevents-batch+json",
    ],
)
def test_a_structured_event_is_known_by_its_media_type(content_type: bytes) -> None:
    assert is_cloud_event((("Content-Type", content_type),))


def test_a_binary_event_is_known_by_its_version_and_anything_else_is_none() -> None:
    assert is_cloud_event(binary())
    assert not is_cloud_event(())
    assert not is_cloud_event((("content-type", b"application/json"), ("ce_id", b"1")))


@pytest.mark.parametrize("charset", [b"", b"; charset=utf-8"])
def test_data_that_is_said_to_be_json_of_some_kind_is_read(charset: bytes) -> None:
    for content_type in (b"text/json", b"application/vnd.acme+json", b""):
        assert read(EVENT.data, binary(content_type + charset if content_type else b"")) == EVENT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": ...}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": "x" * 257}, "id"),
        ({"id": 5}, "id"),
        ({"id": ...}, "id"),
        ({"source": ""}, "source"),
        ({"source": ...}, "source"),
        ({"type": "com.example.other"}, "type"),
        ({"environmentid": "nowhere"}, "environmentid"),
        ({"environmentid": ...}, "environmentid"),
        ({"time": "yesterday"}, "time"),
        ({"time": 5}, "time"),
    ],
)
def test_attributes_that_are_wrong_are_named(changes: dict[str, object], field: str) -> None:
    assert refusal(structured(**changes), STRUCTURED) == [field]  # type: ignore[arg-type]  # data is not among them
    texts = {name: None if one is ... else str(one).encode() for name, one in changes.items()}
    if not any(isinstance(one, int) for one in changes.values()):
        assert refusal(b"{}", binary(**texts)) == [field]  # type: ignore[arg-type]  # the same


DEEP = b"[" * 64 + b"]" * 64
POISON = [b"", b"{", b"NaN", b"[1e999]", b'"\\ud800"', b"\xff", b'{}}"x":{', b"1,2", DEEP]


@pytest.mark.parametrize("data", POISON)
def test_data_that_is_not_strictly_json_is_refused_in_every_mode(data: bytes) -> None:
    assert refusal(data, binary()) == ["data"]
    assert refusal(structured(b'"data":' + data), STRUCTURED)
    encoded = b'"data_base64":"%b"' % b64encode(data)
    assert refusal(structured(encoded), STRUCTURED) == ["data"]


def test_data_may_be_as_deep_in_every_mode_as_in_an_envelope() -> None:
    data = DEEP[1:-1]
    assert read(data, binary()).data == data
    assert read(structured(b'"data":' + data), STRUCTURED).data == data


@pytest.mark.parametrize(
    ("value", "headers", "field"),
    [
        (structured(b'"subject":"s"'), STRUCTURED, "data"),
        (structured(b'"data_base64":null'), STRUCTURED, "data"),
        (structured(b'"data_base64":"%%%"'), STRUCTURED, "data_base64"),
        (structured(b'"data_base64":5'), STRUCTURED, "data_base64"),
        (structured(b'"data":1,"data_base64":"MQ=="'), STRUCTURED, "data_base64"),
        (structured(b'"data":1,"id":"other"'), STRUCTURED, "id"),
        (b"[%b]" % structured(), STRUCTURED, "body"),
        (b"[" * 10_000, STRUCTURED, "body"),
        (structured(), (("content-type", b"application/cloudevents+avro"),), "content-type"),
        (b"<a/>", binary(b"application/xml"), "content-type"),
        (b"1", (*binary(), ("ce_id", b"other")), "id"),
        (b"1", binary(id=b"\xff"), "id"),
    ],
)
def test_what_contradicts_itself_is_refused(value: bytes, headers: Headers, field: str) -> None:
    assert refusal(value, headers) == [field]


def test_an_event_may_have_1_mib_and_not_a_byte_more() -> None:
    data = b'"' + b"x" * (MAX_EVENT_BYTES - 2) + b'"'
    assert read(data, binary()).data == data
    with pytest.raises(TooLarge):
        read(data + b" ", binary())
