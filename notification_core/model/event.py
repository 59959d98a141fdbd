"""Events: what happened, and the bytes that every webhook of it receives."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from attrs import Factory, field, frozen

EventKey = tuple[UUID, str]
"""(environment id, event id): what makes an event the same event."""

MAX_EVENT_BYTES = 1024 * 1024
MAX_EVENT_DEPTH = 64
MAX_EVENT_ID_LENGTH = 256
MAX_ORDERING_KEY_LENGTH = 256


@frozen
class Event:
    """Something that happened in an environment.

    ``event_id`` is the producer's own, unique within the environment. ``data`` is the JSON of
    the event's payload, byte for byte as it came. ``occurred_at`` is aware. Events with the same
    ``ordering_key`` reach an ordered webhook one after another (:mod:`~.ordering`). ``traceparent``
    is the publisher's place in a trace, as far as that is recorded. ``key`` is what makes it the
    same event.
    """

    event_id: str
    environment_id: UUID
    type: str
    occurred_at: datetime
    data: bytes = field(repr=False)
    ordering_key: str | None = None
    traceparent: str | None = field(default=None, repr=False, eq=False)
    key: EventKey = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(lambda self: (self.environment_id, self.event_id), takes_self=True),
    )


class Source(StrEnum):
    """The ways by which events come in; ``operational`` are the system's own."""

    HTTP = "http"
    KAFKA = "kafka"
    PYTHON = "python"
    OPERATIONAL = "operational"


class Arrival(StrEnum):
    """What storage found when an event arrived.

    A ``conflict`` is a known event id with other data: the first one stands.
    """

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@frozen
class EventToStore:
    """An event with its serialised body; no body where no webhook wants it."""

    event: Event
    body: bytes | None = field(repr=False)


class KnownEvent(NamedTuple):
    """An event that was stored before: what a later one with its id is compared to."""

    type: str
    body: bytes | None


def arrivals(
    events: Sequence[EventToStore], known_events: Mapping[EventKey, KnownEvent]
) -> Mapping[EventKey, Arrival]:
    """Return of each event whether it is new, given those that are known.

    What has the id of a known one is that one, or a conflict: another one under its id.
    """
    result = dict.fromkeys((stored.event.key for stored in events), Arrival.NEW)
    for stored in events if known_events else ():
        event = stored.event
        if (before := known_events.get(event.key)) is not None:
            # Of an event that no webhook wanted only the type is left to compare.
            same = before.type == event.type and (
                before.body is None or holds_data_of(before.body, event)
            )
            result[event.key] = Arrival.DUPLICATE if same else Arrival.CONFLICT
    return result


def holds_data_of(body: bytes, event: Event) -> bool:
    """Tell whether a stored body carries the same type and data as this event.

    The time is left out of it: it is made up at arrival where the producer gave none.
    """
    names = json.dumps(event.event_id).encode(), json.dumps(event.type).encode()
    head = b'{"id":%b,"type":%b,' % names
    return body.startswith(head) and body.endswith(b'"data":%b}' % event.data)


def body_of(event: Event) -> bytes:
    """Return the request body of an event: the same bytes for each webhook and attempt of it.

    The envelope is compact JSON; ``data`` stands in it as it was received.
    """
    return b'{"id":%b,"type":%b,"timestamp":"%b","environment_id":"%b","data":%b}' % (
        json.dumps(event.event_id).encode(),
        json.dumps(event.type).encode(),
        timestamp_of(event.occurred_at).encode(),
        str(event.environment_id).encode(),
        event.data,
    )


def timestamp_of(at: datetime) -> str:
    """Return an instant as RFC 3339 in UTC, to the microsecond, ending in ``Z``."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
