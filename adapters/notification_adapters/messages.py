r"""Event messages: judged once, with ``data`` left byte for byte as it came.

Reading is fast for what is right and compact: a message that msgspec takes and that is exactly as
long as its own compact form has nothing to hide. Any other is looked at closely by the standard
library's scanner, which either agrees or says what is wrong.

Refused, and nothing else: what is not JSON or not UTF-8, NaN, Infinity and numbers that overflow
a double, lone surrogates, more than 64 levels, more than 1 MiB, and an envelope with a duplicate
key or of the wrong shape. Long integers, ``\u0000`` and duplicate keys inside ``data`` pass.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from math import isfinite
from typing import Annotated, NoReturn
from uuid import UUID

import msgspec
from attrs import frozen
from msgspec import UNSET, UnsetType

from notification_core.catalogue import CATALOGUE
from notification_core.errors import Detail, InvalidEvent, TooLarge
from notification_core.events import (
    MAX_EVENT_BYTES,
    MAX_EVENT_DEPTH,
    MAX_EVENT_ID_LENGTH,
    Event,
)

MAX_EVENTS = 1_000
"""The events of one batch, at most."""

_MAX_DETAILS = 100
_MAX_QUOTED = 64
_WHITESPACE = b" \t\r\n"
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)

_EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_EVENT_ID_LENGTH)]


class _Envelope(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An event whose environment is known from elsewhere."""

    event: str
    data: msgspec.Raw
    event_id: _EventId | UnsetType = UNSET
    occurred_at: str | UnsetType = UNSET


class _AddressedEnvelope(_Envelope, kw_only=True, forbid_unknown_fields=True):
    """An event that says itself where it happened."""

    environment_id: str


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ADDRESSED = msgspec.json.Decoder(_AddressedEnvelope)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def read_event(
    message: bytes,
    *,
    environment_id: UUID | None,
    now: datetime,
    zone: tzinfo,
    make_event_id: Callable[[], str],
) -> Event:
    """Read one event.

    ``environment_id`` is where it happened; with None, the message itself must say it. An event
    without ``event_id`` gets one from ``make_event_id``, one without ``occurred_at`` happened
    ``now``, and an ``occurred_at`` without an offset is taken in ``zone``. Raises
    :class:`InvalidEvent`, and :class:`TooLarge` beyond 1 MiB.
    """
    return _Reader(environment_id, now, zone, make_event_id).read(message)


def read_events(
    body: bytes,
    *,
    environment_id: UUID | None,
    now: datetime,
    zone: tzinfo,
    make_event_id: Callable[[], str],
) -> tuple[list[Event], bool]:
    """Read one event or an array of 1 to 1,000; tell whether it was a single one.

    See :func:`read_event`. All events that are wrong are named, like ``[3].event``.
    """
    reader = _Reader(environment_id, now, zone, make_event_id)
    if body.lstrip(_WHITESPACE)[:1] != b"[":
        return [reader.read(body)], True
    return reader.read_all(_elements(body)), False


def instant(text: str, zone: tzinfo) -> datetime:
    """Return an instant of RFC 3339 in UTC; without an offset it is taken in ``zone``.

    Raises ``ValueError`` where the text is no such instant, or lies outside of what UTC can say.
    """
    at = msgspec.convert(text, datetime)
    try:
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def _elements(body: bytes) -> list[msgspec.Raw]:
    try:
        elements = _ARRAY.decode(body)
    except RecursionError:
        _refuse([Detail("body", _TOO_DEEP)])
    except ValueError as error:
        _refuse([Detail("body", f"This is not JSON: {error}.")])
    if not elements:
        _refuse([Detail("body", f"The array is empty; a batch has 1 to {MAX_EVENTS:,} events.")])
    if len(elements) > MAX_EVENTS:
        message = f"A batch has at most {MAX_EVENTS:,} events; this one has {len(elements):,}."
        raise TooLarge(message, [Detail("body", message)])
    return elements


@frozen
class _Reader:
    environment_id: UUID | None
    now: datetime
    zone: tzinfo
    make_event_id: Callable[[], str]

    def read_all(self, elements: Sequence[msgspec.Raw]) -> list[Event]:
        events: list[Event] = []
        wrong: list[Detail] = []
        for index, element in enumerate(elements):
            try:
                events.append(self.read(bytes(element), f"[{index}]"))
            except InvalidEvent as error:
                wrong += error.details
        if wrong:
            _refuse(wrong)
        return events

    def read(self, message: bytes, where: str = "") -> Event:
        message = message.strip(_WHITESPACE)
        if len(message) > MAX_EVENT_BYTES:
            _refuse_size(len(message), where)
        if wrong := _depth_wrong(message):
            _refuse([Detail(where or "body", wrong)])
        decoder = _ADDRESSED if self.environment_id is None else _ENVELOPE
        try:
            envelope = decoder.decode(message)
            _ANYTHING.decode(envelope.data)
            if _has_nothing_to_hide(envelope, message):
                return self._event_of(envelope)
        except ValueError:
            pass  # The close look below says why, or that it is right all the same.
        _look_closely(message, self._rules(), where)
        return self._event_of(decoder.decode(message))

    def _event_of(self, envelope: _Envelope) -> Event:
        """Make the event; raise ValueError where its environment or its time is wrong."""
        event_id, occurred_at = envelope.event_id, envelope.occurred_at
        return Event(
            self.make_event_id() if event_id is UNSET else event_id,
            self.environment_id or _uuid(envelope),
            envelope.event,
            self.now if occurred_at is UNSET else instant(occurred_at, self.zone),
            bytes(envelope.data),
        )

    def _rules(self) -> "_Rules":
        """Return what is wrong with each field's value, as a function of the value."""
        rules: _Rules = {
            "event": _type_wrong,
            "event_id": _id_wrong,
            "occurred_at": lambda value: _time_wrong(value, self.zone),
            "data": lambda _: None,
        }
        if self.environment_id is None:
            rules["environment_id"] = _environment_wrong
        return rules


def _has_nothing_to_hide(envelope: _Envelope, message: bytes) -> bool:
    """Tell whether all is right that decoding does not judge.

    No key or string has a shorter form than the one encoded here, so that a message of the same
    length has no room for a key that comes twice.
    """
    event_id = envelope.event_id
    return (
        len(_encode(envelope)) == len(message)
        and envelope.event in CATALOGUE
        and (event_id is UNSET or "\0" not in event_id)
    )


def _uuid(envelope: _Envelope) -> UUID:
    assert isinstance(envelope, _AddressedEnvelope)  # noqa: S101 - tells mypy which decoder it was
    if not _UUID.fullmatch(envelope.environment_id):
        raise ValueError(envelope.environment_id)
    return UUID(envelope.environment_id)


# The close look.

_Rules = dict[str, Callable[[object], str | None]]
_REQUIRED = ("event", "data", "environment_id")
_TOO_DEEP = f"This is nested too deeply; {MAX_EVENT_DEPTH} levels are the most."


class _Object(tuple[tuple[str, object], ...]):
    """A JSON object as it stands in the text: every pair, in its order."""

    __slots__ = ()


def _depth_wrong(message: bytes) -> str | None:
    # No more brackets than levels allowed: it cannot be too deep.
    if message.count(b"[") + message.count(b"{") <= MAX_EVENT_DEPTH:
        return None
    brackets = _STRINGS.sub(b"", message).translate(_TO_SQUARE, _NO_BRACKET)
    for _ in range(MAX_EVENT_DEPTH):  # Each round takes the innermost level away.
        brackets = brackets.replace(b"[]", b"")
    return _TOO_DEEP if brackets else None


def _look_closely(message: bytes, rules: _Rules, where: str) -> None:
    """Judge a message completely; raise :class:`InvalidEvent` with all that is wrong."""
    try:
        value = _scanned(message)
    except ValueError as error:
        _refuse([Detail(where or "body", str(error))])
    if not isinstance(value, _Object):
        _refuse([Detail(where or "body", f"An event is a JSON object with {_listed(rules)}.")])
    prefix = f"{where}." if where else ""
    wrong = [Detail(f"{prefix}{_cut(field)}", text) for field, text in _wrong(value, rules)]
    if wrong:
        _refuse(wrong)


def _scanned(message: bytes) -> object:
    try:
        value = _SCANNER.decode(message.decode())
        if rb"\u" in message:  # Only an escape can make a lone surrogate.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise ValueError(f"This is not UTF-8 (byte {error.start}).") from error
    except UnicodeEncodeError as error:
        raise ValueError("A string holds half of a surrogate pair; write both halves.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not JSON: {error}.") from error
    return value


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"The number {_cut(text)} overflows; the most is about 1.8e308.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; numbers are finite.")


# The values of integers do not matter here, and making them of 5,000 digits is refused by Python.
_SCANNER = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_int=lambda _: 0,
    parse_float=_finite,
    parse_constant=_refuse_constant,
)


def _wrong(envelope: _Object, rules: _Rules) -> Iterator[tuple[str, str]]:
    values: Mapping[str, object] = dict(envelope)
    for name, count in Counter(name for name, _ in envelope).items():
        if count > 1:
            yield name, f"This key stands here {count} times; it may stand once."
        if name not in rules:
            yield name, f"There is no such field; an event has {_listed(rules)}."
        elif (wrong := rules[name](values[name])) is not None:
            yield name, wrong
    for name in _REQUIRED:
        if name in rules and name not in values:
            yield name, "This field is required."


def _type_wrong(value: object) -> str | None:
    if isinstance(value, str) and value in CATALOGUE:
        return None
    given = f"There is no event type {_cut(value)!r}" if isinstance(value, str) else "Not a string"
    return f"{given}; the types are {', '.join(CATALOGUE)}."


def _id_wrong(value: object) -> str | None:
    if isinstance(value, str) and 1 <= len(value) <= MAX_EVENT_ID_LENGTH and "\0" not in value:
        return None
    return f"An event id is a string of 1 to {MAX_EVENT_ID_LENGTH} characters without U+0000."


def _environment_wrong(value: object) -> str | None:
    if isinstance(value, str) and _UUID.fullmatch(value):
        return None
    return "An environment id is a UUID, like 0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10."


def _time_wrong(value: object, zone: tzinfo) -> str | None:
    try:
        if isinstance(value, str):
            instant(value, zone)
            return None
    except ValueError:
        pass  # Said below, as for what is no string.
    return "A time is a date and time of RFC 3339, like 2026-03-01T09:30:00.250Z."


def _listed(rules: _Rules) -> str:
    return ", ".join(rules)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


def _refuse(details: Sequence[Detail]) -> NoReturn:
    first = details[0]
    more = f" ({len(details) - 1:,} more)" if len(details) > 1 else ""
    message = f"The event is refused: {first.field}: {first.message}{more}"
    raise InvalidEvent(message, details[:_MAX_DETAILS])


def _refuse_size(size: int, where: str) -> NoReturn:
    message = f"An event has at most {MAX_EVENT_BYTES:,} bytes; this one has {size:,}."
    raise TooLarge(message, [Detail(where or "body", message)])
