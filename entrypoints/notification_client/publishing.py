"""Cutting events into requests that the API takes: at most 500 events and 8 MiB each."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import msgspec

from notification_client.errors import ApiRefused, FieldError
from notification_client.models import NewEvent, PublishedEvent
from notification_client.transport import Transport, to_json

MAX_EVENTS: Final = 500
MAX_BYTES: Final = 8 * 1024 * 1024

_published = msgspec.json.Decoder(list[PublishedEvent])


class _Numbered(NamedTuple):
    """An event as JSON, with its place in what was handed in."""

    number: int
    json: bytes


async def publish(
    transport: Transport,
    environment_id: UUID,
    events: Iterable[NewEvent] | AsyncIterable[NewEvent],
) -> AsyncIterator[PublishedEvent]:
    """Yield what became of each event, in their order; each request is stored whole or not at all.

    Raises :class:`ApiRefused` whose details name the places in ``events``; what was yielded before
    is stored.
    """
    path = f"/environments/{environment_id}/events"
    waiting: list[_Numbered] = []
    size = number = 0
    async for event in _each(events):
        encoded = to_json(_identified(event))
        if waiting and (len(waiting) == MAX_EVENTS or size + len(encoded) >= MAX_BYTES):
            for published in await _send(transport, path, waiting):
                yield published
            waiting, size = [], 0
        waiting.append(_Numbered(number, encoded))
        size += len(encoded) + 1
        number += 1
    if waiting:
        for published in await _send(transport, path, waiting):
            yield published


async def _send(
    transport: Transport, path: str, events: Sequence[_Numbered]
) -> list[PublishedEvent]:
    body = b"[" + b",".join(event.json for event in events) + b"]"
    try:
        return _published.decode((await transport.request("POST", path, body)).body)
    except ApiRefused as refused:
        if refused.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or len(events) == 1:
            raise _with_places(refused, events[0].number) from refused
    # Too many bytes, or too many deliveries together: its halves may fit.
    half = len(events) // 2
    first = await _send(transport, path, events[:half])
    return [*first, *(await _send(transport, path, events[half:]))]


def _with_places(refused: ApiRefused, first: int) -> ApiRefused:
    """Return a refusal whose details count from the first event that was handed in."""
    details = []
    for detail in refused.details:
        index, bracket, rest = detail.field.removeprefix("[").partition("]")
        field = detail.field
        if detail.field.startswith("[") and bracket and index.isdigit():
            field = f"[{first + int(index)}]{rest}"
        details.append(FieldError(field, detail.message))
    return type(refused)(refused.status, refused.code, refused.message, details, refused.request_id)


def _identified(event: NewEvent) -> NewEvent:
    if event.event_id is not None:
        return event
    return msgspec.structs.replace(event, event_id=str(uuid4()))


async def _each(events: Iterable[NewEvent] | AsyncIterable[NewEvent]) -> AsyncIterator[NewEvent]:
    if isinstance(events, AsyncIterable):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
