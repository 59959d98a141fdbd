"""CloudEvents 1.0: structured and batched (JSON event format 1.0), and binary.

A message of Kafka (Kafka binding 1.0) and a request (HTTP binding 1.0) are read alike; a batch is a
request. ``type`` is an event type of the catalogue, ``id`` becomes the event's id, ``time`` its
time and the extension attribute ``partitionkey`` its ordering key. The environment stands in the
extension attribute ``environmentid``, unless it is known from elsewhere. What is right for an event
of our own form is right here, and nothing else: ``data`` is JSON and goes on byte for byte.
"""

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from itertools import islice
from typing import NoReturn
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from notification_adapters.event_formats.event_json import read_batch
from notification_adapters.event_formats.strict_json import Pairs, cut, depth_error, scanned
from notification_adapters.event_formats.validation import (
    MAX_DETAILS,
    environment_error,
    id_error,
    instant,
    ordering_key_error,
    refuse,
    refuse_size,
    time_error,
    type_error,
)
from notification_core.errors import Detail, InvalidEvent
from notification_core.model.event import MAX_EVENT_BYTES, Event
from notification_core.model.event_types import EventCatalogue
from notification_core.model.message import Headers
from notification_core.model.trace_context import parse_traceparent

_STRUCTURED = "application/cloudevents"
_JSON_FORMAT = "application/cloudevents+json"
_BATCH_FORMAT = "application/cloudevents-batch+json"
_ONE: Headers = (("content-type", _JSON_FORMAT.encode()),)
_PREFIX, _HTTP_PREFIX = "ce_", "ce-"
_VERSION = "1.0"
_EMPTY_BATCH = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*\][ \t\r\n]*")
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


def http_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return what an HTTP request says of its event, as the headers of a message.

    Values may be quoted and percent-encoded (HTTP binding, section 3.1.3.2).
    """
    found: list[tuple[str, bytes]] = []
    for name, value in headers:
        lower = name.lower()
        if lower.startswith(_HTTP_PREFIX):
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = re.sub(r"\\(.)", r"\1", value[1:-1])  # noqa: PLW2901 - the same, unquoted
            decoded = unquote_to_bytes(value.encode(errors="surrogateescape"))
            found.append((f"{_PREFIX}{lower.removeprefix(_HTTP_PREFIX)}", decoded))
        elif lower == "content-type":
            found.append((lower, value.encode(errors="surrogateescape")))
    return tuple(found)


def read_cloud_events(  # noqa: PLR0913 - a request, and what it may leave out
    body: bytes,
    headers: Headers,
    *,
    environment_id: UUID,
    now: datetime,
    zone: tzinfo,
    catalogue: EventCatalogue,
    traced: bool = False,
) -> tuple[list[Event], bool]:
    """Read a request that is a CloudEvent or a batch of them; tell whether it was a single one.

    Events that are wrong are named, like ``[3].type``, until a hundred wrong things are found. A
    batch may be empty (JSON event format, section 4).
    """
    read = partial(
        read_cloud_event,
        environment_id=environment_id,
        now=now,
        zone=zone,
        catalogue=catalogue,
        traced=traced,
    )
    if _media_type(headers) != _BATCH_FORMAT:
        return [read(body, headers)], True

    def read_element(element: bytes, where: str) -> Event:
        try:
            return read(element, _ONE, where=where)
        except InvalidEvent as error:
            refuse(
                [
                    Detail(where if name == "body" else f"{where}.{name}", message)
                    for name, message in error.details
                ]
            )

    if _EMPTY_BATCH.fullmatch(body):
        return [], False
    return read_batch(body, read_element), False


def read_cloud_event(  # noqa: PLR0913 - a message, and what it may leave out
    value: bytes,
    headers: Headers,
    *,
    environment_id: UUID | None,
    now: datetime,
    zone: tzinfo,
    catalogue: EventCatalogue,
    traced: bool = False,
    where: str = "",
) -> Event:
    """Read a message that is a CloudEvent; one without ``time`` happened ``now``.

    ``environment_id`` is where it happened, and need not be said; with None it must. If it is
    ``traced``, its place in a trace is what the extension for distributed tracing says. Raises
    :class:`InvalidEvent`, and :class:`TooLarge` beyond 1 MiB, which has the place in a batch.
    """
    if len(value) > MAX_EVENT_BYTES:
        refuse_size(len(value), where)
    media_type = _media_type(headers)
    if media_type.startswith(_STRUCTURED):
        attributes, data = _structured(value, media_type)
    else:
        attributes, data = _binary(value, headers, media_type)
    errors = _errors(attributes, environment_id, zone, catalogue)
    if details := [Detail(name, error) for name, error in errors]:
        refuse(details)
    time, ordering_key = attributes.get("time"), attributes.get("partitionkey")
    return Event(
        str(attributes["id"]),
        environment_id or UUID(str(attributes["environmentid"])),
        str(attributes["type"]),
        now if time is None else instant(str(time), zone),
        data,
        None if ordering_key is None else str(ordering_key),
        parse_traceparent(str(attributes.get("traceparent", ""))) if traced else None,
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
    attributes: _Attributes, environment_id: UUID | None, zone: tzinfo, catalogue: EventCatalogue
) -> Iterator[tuple[str, str]]:
    def elsewhere(value: object) -> str | None:
        error = environment_error(value)
        if error is None and environment_id not in {None, UUID(str(value))}:
            return f"This is another environment; leave it out, or give {environment_id}."
        return error

    required = _REQUIRED if environment_id is None else _REQUIRED[:-1]
    rules: Mapping[str, Callable[[object], str | None]] = {
        "specversion": lambda value: (
            None if value == _VERSION else f"Only CloudEvents {_VERSION} is read."
        ),
        "id": id_error,
        "source": lambda value: (
            None if isinstance(value, str) and value else "A source is a URI, and not empty."
        ),
        "type": lambda value: type_error(value, catalogue),
        "environmentid": elsewhere,
        "time": lambda value: time_error(value, zone),
        "partitionkey": ordering_key_error,
    }
    for name, rule in rules.items():
        if name in attributes and (error := rule(attributes[name])) is not None:
            yield name, error
        elif name not in attributes and name in required:
            yield name, "This attribute is required."


def _media_type(headers: Headers) -> str:
    """Return the media type without its parameters, in lower case; empty if none is said."""
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
