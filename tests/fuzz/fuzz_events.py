"""Whatever bytes are published: they are an event that holds its data as it came, or refused."""

import sys
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import atheris

with atheris.instrument_imports():
    from notification_adapters.event_formats.catalogue import default_catalogue
    from notification_adapters.event_formats.event_json import read_events
    from notification_core.errors import InvalidEvent, TooLarge
    from notification_core.model.event import body_of, holds_data_of

ENVIRONMENT = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CATALOGUE = default_catalogue()
ZONE = ZoneInfo("America/Montreal")


def one_input(drawn: bytes) -> None:
    """Read what was drawn as a message, and as the data of one."""
    read(drawn)
    read(b'{"event":"job-created","data":' + drawn + b"}")


def read(message: bytes) -> None:
    """Read a message, and look at what was made of it."""
    try:
        events, _ = read_events(
            message,
            environment_id=ENVIRONMENT,
            now=NOW,
            zone=ZONE,
            catalogue=CATALOGUE,
            make_event_id=lambda: "made",
        )
    except (InvalidEvent, TooLarge):
        return
    for event in events:
        assert event.data in message
        assert holds_data_of(body_of(event), event)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
