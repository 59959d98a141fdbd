"""Whatever CloudEvent comes from a topic: it is an event that holds its data, or refused."""

import sys
from base64 import b64encode
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import atheris

with atheris.instrument_imports():
    from notification_adapters.event_formats.catalogue import default_catalogue
    from notification_adapters.event_formats.cloudevents import read_cloud_event
    from notification_core.errors import InvalidEvent, TooLarge
    from notification_core.model.event import body_of, holds_data_of
    from notification_core.model.message import Headers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CATALOGUE = default_catalogue()
ZONE = ZoneInfo("America/Montreal")
ENVIRONMENT = b"0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)
BINARY: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/"),
    ("ce_type", b"job-created"),
    ("ce_environmentid", ENVIRONMENT),
)
BEGUN = (
    b'{"specversion":"1.0","id":"1","source":"/","type":"job-created","environmentid":"%b",'
    % ENVIRONMENT
)


def one_input(drawn: bytes) -> None:
    """Read what was drawn in each place where a producer may write."""
    read(drawn, STRUCTURED)
    read(BEGUN + drawn, STRUCTURED)
    read(BEGUN + b'"data":' + drawn + b"}", STRUCTURED)
    read(BEGUN + b'"data_base64":"' + b64encode(drawn) + b'"}', STRUCTURED)
    read(drawn, BINARY)
    at = drawn[0] % len(BINARY) if drawn else 0
    named = (BINARY[at][0], drawn[1:])
    read(b"{}", (*BINARY[:at], named, *BINARY[at + 1 :], ("ce_time", drawn[1:])))


def read(value: bytes, headers: Headers) -> None:
    """Read a message, and look at what was made of it."""
    try:
        event = read_cloud_event(
            value, headers, environment_id=None, now=NOW, zone=ZONE, catalogue=CATALOGUE
        )
    except (InvalidEvent, TooLarge):
        return
    assert event.data in value or b64encode(event.data) in value
    assert holds_data_of(body_of(event), event)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
