"""The fields of an event in whatever form it comes: what is right, and what is said otherwise."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import NoReturn

import msgspec

from notification_adapters.event_formats.strict_json import cut
from notification_core.errors import Detail, InvalidEvent, TooLarge
from notification_core.model.event import (
    MAX_EVENT_BYTES,
    MAX_EVENT_ID_LENGTH,
    MAX_ORDERING_KEY_LENGTH,
)
from notification_core.model.event_types import EventCatalogue

UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
"""An environment's id as it is written."""

MAX_DETAILS = 100
"""How many wrong things are named at most; looking for more would take long."""


def instant(text: str, zone: tzinfo) -> datetime:
    """Return an instant of RFC 3339 in UTC; without an offset it is taken as in ``zone``.

    Raises ``ValueError`` where the text is no such instant, or lies outside of what UTC can say.
    """
    at = msgspec.convert(text, datetime)
    try:
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def type_error(value: object, catalogue: EventCatalogue) -> str | None:
    """Say what is wrong with an event's type; None for a right one."""
    if isinstance(value, str) and value in catalogue.types:
        return None
    given = f"Unknown event type {cut(value)!r}" if isinstance(value, str) else "Not a string"
    return f"{given}; the types are {catalogue.names}."


def id_error(value: object) -> str | None:
    """Say what is wrong with an event's id; None for a right one.

    A path of "." or ".." is another path (RFC 3986, section 5.2.4), however it is escaped.
    """
    if (
        isinstance(value, str)
        and 1 <= len(value) <= MAX_EVENT_ID_LENGTH
        and "\0" not in value
        and value not in {".", ".."}
    ):
        return None
    return (
        f"An event id is a string of 1 to {MAX_EVENT_ID_LENGTH} characters without U+0000, and not "
        "one of '.' and '..', which no URL can name."
    )


def ordering_key_error(value: object) -> str | None:
    """Say what is wrong with an event's ordering key; None for a right one."""
    if isinstance(value, str) and 1 <= len(value) <= MAX_ORDERING_KEY_LENGTH and "\0" not in value:
        return None
    return (
        f"An ordering key is a string of 1 to {MAX_ORDERING_KEY_LENGTH} characters without U+0000."
    )


def environment_error(value: object) -> str | None:
    """Say what is wrong with an environment's id; None for a right one."""
    if isinstance(value, str) and UUID_TEXT.fullmatch(value):
        return None
    return "An environment id is a UUID, like 0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10."


def time_error(value: object, zone: tzinfo) -> str | None:
    """Say what is wrong with an instant; None for a right one."""
    try:
        if isinstance(value, str):
            instant(value, zone)
            return None
    except ValueError:
        pass  # Said below, as for what is no string.
    return "A time is a date and time of RFC 3339, like 2026-03-01T09:30:00.250Z."


def refuse(details: Sequence[Detail]) -> NoReturn:
    """Raise :class:`InvalidEvent` with what is wrong: the first hundred things of it."""
    first, *others = details[:MAX_DETAILS]
    more = f" ({len(others)} more)" if others else ""
    message = f"The event is refused: {first.field}: {first.message}{more}"
    raise InvalidEvent(message, [first, *others])


def refuse_size(size: int, where: str) -> NoReturn:
    """Raise :class:`TooLarge`: an event has more than 1 MiB."""
    message = f"An event has at most {MAX_EVENT_BYTES:,} bytes; this one has {size:,}."
    raise TooLarge(message, [Detail(where or "body", message)])
