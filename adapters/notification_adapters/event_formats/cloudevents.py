"""CloudEvents 1.0 as messages: structured (JSON event format 1.0) and binary (Kafka binding 1.0).

``type`` is an event type of the catalogue, ``id`` becomes the event's id and ``time`` its time. The
environment stands in the extension attribute ``environmentid``. What is right for an event of our
own form is right here, and nothing else: ``data`` is JSON and goes on byte for byte.
"""

from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import islice
from typing import NoReturn
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from notification_adapters.event_formats.strict_json import Pairs, cut, depth_error, scanned
from notification_adapters.event_formats.validation import (
    MAX_DETAILS,
    environment_error,
    id_error,
    instant,
    refuse,
    refuse_size,
    time_error,
    type_error,
)
from notification_core.errors import Detail
from notification_core.model.event import MAX_EVENT_BYTES, Event
from notification_core.model.event_types import EventCatalogue
from notification_core.model.message import Headers

_STRUCTURED = "application/cloudevents"
_JSON_FORMAT = "application/cloudevents+json"
_PREFIX = "ce_"
_VERSION = "1.0"
_REQUIRED = ("specversion", "id", "source", "type", "environmentid")

_Attributes = Mapping[str, object]


class _Payload(msgspec.Struct):
    """What a structured event carries, in one of two ways."""

    data: msgspec.Raw | UnsetType = UNSET
    data_base64: str | UnsetType | None = UNSET


_PAYLOAD = msgspec.json.Decoder(_Payload)


def is_cloud_event(headers: Headers) -> bool:
    """Tell whether a message says of itself that it is a CloudEvent."""
    return _media_type(headers).startswith(_STRUCTURED) or any(
        name == f"{_PREFIX}specversion" for name, _ in headers
    )


def read_cloud_event(
    value: bytes, headers: Headers, *, now: datetime, zone: tzinfo, catalogue: EventCatalogue
) -> Event:
    """Read a message that is a CloudEvent; one without ``time`` happened ``now``.

    Raises :class:`InvalidEvent`, and :class:`TooLarge` beyond 1 MiB.
    """
    if len(value) > MAX_EVENT_BYTES:
        refuse_size(len(value), "")
    media_type = _media_type(headers)
    if media_type.startswith(_STRUCTURED):
        attributes, data = _structured(value, media_type)
    else:
        attributes, data = _binary(value, headers, media_type)
    details = [Detail(name, error) for name, error in _errors(attributes, zone, catalogue)]
    if details:
        refuse(details)
    time = attributes.get("time")
    return Event(
        str(attributes["id"]),
        UUID(str(attributes["environmentid"])),
        str(attributes["type"]),
        now if time is None else instant(str(time), zone),
        data,
    )


def _structured(value: bytes, media_type: str) -> tuple[_Attributes, bytes]:
    if media_type != _JSON_FORMAT:
        _refuse("content-type", f"A structured CloudEvent is read as {_JSON_FORMAT} only.")
    if error := depth_error(value):
        _refuse("body", error)
    document = _scanned(value, "body")
    if not isinstance(document, Pairs):
        _refuse("body", f"A CloudEvent is a JSON object with {', '.join(_REQUIRED)} and data.")
    _refuse_duplicates([name for name, _ in document])
    # A null says that the attribute is not set.
    attributes = {name: value for name, value in document if value is not None}
    return attributes, _data_of(value)


def _data_of(value: bytes) -> bytes:
    try:
        payload = _PAYLOAD.decode(value)
    except ValueError:
        _refuse("data_base64", "Not a string.")
    if payload.data is not UNSET and payload.data_base64:
        _refuse("data_base64", "An event has data or data_base64, not both.")
    if payload.data is not UNSET:
        return bytes(payload.data)
    if not payload.data_base64:
        _refuse("data", "This field is required.")
    try:
        data = b64decode(payload.data_base64, validate=True)
    except ValueError:
        _refuse("data_base64", "This is not Base64.")
    _check_data(data)
    return data


def _binary(value: bytes, headers: Headers, media_type: str) -> tuple[_Attributes, bytes]:
    if media_type and not media_type.endswith(("/json", "+json")):
        _refuse("content-type", f"Data is JSON; this says that it is {cut(media_type)}.")
    named = [
        (name.removeprefix(_PREFIX), text) for name, text in headers if name.startswith(_PREFIX)
    ]
    _refuse_duplicates([name for name, _ in named])
    attributes = {}
    for name, text in named:
        if text is not None:
            try:
                attributes[name] = text.decode()
            except UnicodeDecodeError:
                _refuse(cut(name), "This is not UTF-8.")
    _check_data(value)
    return attributes, value


def _check_data(data: bytes) -> None:
    """Check data that stands alone as strictly as inside an envelope, which is one level more."""
    if error := depth_error(b"[%b]" % data):
        _refuse("data", error)
    _scanned(data, "data")


def _scanned(text: bytes, where: str) -> object:
    try:
        return scanned(text)
    except ValueError as error:
        _refuse(where, str(error))


def _errors(
    attributes: _Attributes, zone: tzinfo, catalogue: EventCatalogue
) -> Iterator[tuple[str, str]]:
    rules: Mapping[str, Callable[[object], str | None]] = {
        "specversion": lambda value: (
            None if value == _VERSION else f"Only CloudEvents {_VERSION} is read."
        ),
        "id": id_error,
        "source": lambda value: (
            None if isinstance(value, str) and value else "A source is a URI, and not empty."
        ),
        "type": lambda value: type_error(value, catalogue),
        "environmentid": environment_error,
        "time": lambda value: time_error(value, zone),
    }
    for name, rule in rules.items():
        if name in attributes and (error := rule(attributes[name])) is not None:
            yield name, error
        elif name not in attributes and name in _REQUIRED:
            yield name, "This attribute is required."


def _media_type(headers: Headers) -> str:
    """Return the media type without its parameters, in lower case; empty where none is said."""
    for name, value in headers:
        if name.lower() == "content-type" and value is not None:
            return value.decode(errors="replace").partition(";")[0].strip().lower()
    return ""


def _refuse_duplicates(names: Sequence[str]) -> None:
    repeated = ((name, count) for name, count in Counter(names).items() if count > 1)
    details = [
        Detail(cut(name), f"This attribute stands here {count} times; it may stand once.")
        for name, count in islice(repeated, MAX_DETAILS)
    ]
    if details:
        refuse(details)


def _refuse(field: str, message: str) -> NoReturn:
    refuse([Detail(field, message)])
