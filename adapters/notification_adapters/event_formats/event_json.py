r"""Event messages: validated once, with ``data`` left byte for byte as it came.

Reading is fast for what is right: a message that msgspec takes, and that is hardly longer than its
own compact form, has nothing to hide. Any other is looked at closely by the standard library's
scanner, which either agrees or says what is wrong.

Refused, and nothing else: what is not JSON or not UTF-8, NaN, Infinity and numbers that overflow
a double, lone surrogates, more than 64 levels, more than 1 MiB, and an envelope with a duplicate
key or of the wrong shape. Long integers, ``\u0000`` and duplicate keys inside ``data`` pass.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from itertools import islice
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from notification_adapters.event_formats.strict_json import (
    TOO_DEEP,
    Pairs,
    cut,
    depth_error,
    scanned,
)
from notification_adapters.event_formats.validation import (
    MAX_DETAILS,
    UUID_TEXT,
    environment_error,
    id_error,
    instant,
    ordering_key_error,
    refuse,
    refuse_size,
    time_error,
    type_error,
)
from notification_core.errors import Detail, InvalidEvent, TooLarge
from notification_core.model.event import (
    MAX_EVENT_BYTES,
    MAX_EVENT_ID_LENGTH,
    MAX_ORDERING_KEY_LENGTH,
    Event,
)
from notification_core.model.event_types import EventCatalogue

MAX_EVENTS = 1_000
"""The events of one batch, at most."""

_WHITESPACE = b" \t\r\n"

_EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_EVENT_ID_LENGTH)]
_OrderingKey = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ORDERING_KEY_LENGTH)]


class _Envelope(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An event whose environment is known from elsewhere."""

    event: str
    data: msgspec.Raw
    event_id: _EventId | UnsetType = UNSET
    occurred_at: str | UnsetType = UNSET
    ordering_key: _OrderingKey | UnsetType = UNSET


class _AddressedEnvelope(_Envelope, kw_only=True, forbid_unknown_fields=True):
    """An event that says itself where it happened."""

    environment_id: str


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ADDRESSED = msgspec.json.Decoder(_AddressedEnvelope)
# Unlike a list, which is built whole before its length is checked, this refuses the 1,001st event
# as soon as it comes: an array of 16 MiB has room for millions.
_ARRAY = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Batch",
        [(f"_{n}", msgspec.Raw | UnsetType, UNSET) for n in range(MAX_EVENTS)],
        array_like=True,
        forbid_unknown_fields=True,
    )
)
_ANYTHING = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_LEAST_TO_HIDE = len('"data":0,')


def read_event(  # noqa: PLR0913 - a message, and what it may leave out
    message: bytes,
    *,
    environment_id: UUID | None,
    now: datetime,
    zone: tzinfo,
    catalogue: EventCatalogue,
    make_event_id: Callable[[], str],
    where: str = "",
) -> Event:
    """Read one event, of a type of the catalogue.

    ``environment_id`` is where it happened; with None, the message itself must say it. An event
    without ``event_id`` gets one from ``make_event_id``, one without ``occurred_at`` happened
    ``now``, and an ``occurred_at`` without an offset is in ``zone``. ``where`` is its place in a
    batch, such as ``[3]``. Raises :class:`InvalidEvent`, and :class:`TooLarge` beyond 1 MiB.
    """
    message = message.strip(_WHITESPACE)
    if len(message) > MAX_EVENT_BYTES:
        refuse_size(len(message), where)
    if error := depth_error(message):
        refuse([Detail(where or "body", error)])
    decoder = _ADDRESSED if environment_id is None else _ENVELOPE
    try:
        envelope = decoder.decode(message)
        _ANYTHING.decode(envelope.data)
        event_id = envelope.event_id
        if (
            # No key or string has a shorter form than the one encoded here, so that a message with
            # a few blanks between them has no room for a key that comes twice.
            len(message) - len(_encode(envelope)) < _LEAST_TO_HIDE
            and envelope.event in catalogue.types
            # An id that may be refused has characters that are not printable, or is only dots.
            and (event_id is UNSET or (event_id.isprintable() and event_id.strip(".")))
            and (envelope.ordering_key is UNSET or envelope.ordering_key.isprintable())
        ):
            return _event_of(envelope, environment_id, now, zone, make_event_id)
    except ValueError:
        pass  # The close look below says why, or that it is right all the same.
    _look_closely(message, environment_id, zone, catalogue, where)
    return _event_of(decoder.decode(message), environment_id, now, zone, make_event_id)


def read_events(  # noqa: PLR0913 - the same
    body: bytes,
    *,
    environment_id: UUID | None,
    now: datetime,
    zone: tzinfo,
    catalogue: EventCatalogue,
    make_event_id: Callable[[], str],
) -> tuple[list[Event], bool]:
    """Read one event or an array of 1 to 1,000; tell whether it was a single one.

    See :func:`read_event`. Events that are wrong are named, like ``[3].event``, until a hundred
    wrong things are found.
    """
    read = partial(
        read_event,
        environment_id=environment_id,
        now=now,
        zone=zone,
        catalogue=catalogue,
        make_event_id=make_event_id,
    )
    if body.lstrip(_WHITESPACE)[:1] != b"[":
        return [read(body)], True
    return read_batch(body, lambda element, where: read(element, where=where)), False


def read_batch(body: bytes, read: Callable[[bytes, str], Event]) -> list[Event]:
    """Read an array of 1 to 1,000 events by what reads one at a place such as ``[3]``."""
    if body.lstrip(_WHITESPACE)[:1] != b"[":
        refuse([Detail("body", "A batch is an array of events.")])
    events: list[Event] = []
    details: list[Detail] = []
    for index, element in enumerate(_elements(body)):
        try:
            events.append(read(bytes(element), f"[{index}]"))
        except InvalidEvent as error:
            details += error.details
            if len(details) >= MAX_DETAILS:
                break
    if details:
        refuse(details)
    return events


def _elements(body: bytes) -> Sequence[msgspec.Raw]:
    try:
        batch = msgspec.structs.astuple(_ARRAY.decode(body))
    except RecursionError:
        refuse([Detail("body", TOO_DEEP)])
    except msgspec.ValidationError:
        message = f"A batch has at most {MAX_EVENTS:,} events; this one has more."
        raise TooLarge(message, [Detail("body", message)]) from None
    except ValueError as error:
        refuse([Detail("body", f"This is not JSON: {error}.")])
    if batch[0] is UNSET:
        refuse([Detail("body", f"The array is empty; a batch has 1 to {MAX_EVENTS:,} events.")])
    return batch[: batch.index(UNSET)] if batch[-1] is UNSET else batch


def _event_of(
    envelope: _Envelope,
    environment_id: UUID | None,
    now: datetime,
    zone: tzinfo,
    make_event_id: Callable[[], str],
) -> Event:
    """Make the event; raise ``ValueError`` if its environment or its time is wrong."""
    event_id, occurred_at = envelope.event_id, envelope.occurred_at
    if environment_id is None:
        assert isinstance(envelope, _AddressedEnvelope)  # noqa: S101 - tells mypy which decoder it was
        if not UUID_TEXT.fullmatch(envelope.environment_id):
            raise ValueError(envelope.environment_id)
        environment_id = UUID(envelope.environment_id)
    return Event(
        make_event_id() if event_id is UNSET else event_id,
        environment_id,
        envelope.event,
        now if occurred_at is UNSET else instant(occurred_at, zone),
        bytes(envelope.data),
        None if envelope.ordering_key is UNSET else envelope.ordering_key,
    )


# The close look.

_Rules = dict[str, Callable[[object], str | None]]
"""What is wrong with each field's value, as a function of the value."""

_REQUIRED = ("event", "data", "environment_id")


def _look_closely(
    message: bytes,
    environment_id: UUID | None,
    zone: tzinfo,
    catalogue: EventCatalogue,
    where: str,
) -> None:
    """Validate a message completely; raise :class:`InvalidEvent` with all that is wrong."""
    rules: _Rules = {
        "event": lambda value: type_error(value, catalogue),
        "event_id": id_error,
        "occurred_at": lambda value: time_error(value, zone),
        "ordering_key": ordering_key_error,
        "data": lambda _: None,
    }
    if environment_id is None:
        rules["environment_id"] = environment_error
    fields = ", ".join(rules)
    try:
        value = scanned(message)
    except ValueError as error:
        refuse([Detail(where or "body", str(error))])
    if not isinstance(value, Pairs):
        refuse([Detail(where or "body", f"An event is a JSON object with {fields}.")])
    prefix = f"{where}." if where else ""
    details = [
        Detail(f"{prefix}{cut(field)}", error)
        for field, error in islice(_errors(value, rules), MAX_DETAILS)
    ]
    if details:
        refuse(details)


def _errors(envelope: Pairs, rules: _Rules) -> Iterator[tuple[str, str]]:
    values: Mapping[str, object] = dict(envelope)
    for name, count in Counter(name for name, _ in envelope).items():
        if count > 1:
            yield name, f"This key stands here {count} times; it may stand once."
        if name not in rules:
            yield name, f"Unknown field; an event has {', '.join(rules)}."
        elif (error := rules[name](values[name])) is not None:
            yield name, error
    for name in _REQUIRED:
        if name in rules and name not in values:
            yield name, "This field is required."
